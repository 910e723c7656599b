//! What a text can name. Boards, chips, overlays, run files and saved machines are often somebody else's: without the user's
//! word they reach the files beside and below the one that the user named, to read them, and nothing else of the host.

use std::path::{Path, PathBuf};

use super::Loaded;
use crate::backend::{Backend, Block, Chardev, Folder, Image, Netdev};
use crate::board::tree;
use crate::diagnostics::{Problem, Span};
use crate::plan::BoardSlot;
use crate::visible::shown;

/// Where a text is from, and so what it can name.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Its file, beside which are those that it names; without one they are in the current folder.
    pub path: Option<PathBuf>,
    reach: Reach,
}

/// What a text can name.
#[derive(Debug, Clone)]
enum Reach {
    /// Nothing: it is whole.
    Itself,
    /// What is in the program.
    Program,
    /// Also the files in this folder and below it.
    Below(PathBuf),
    /// Every file; what stands in one is not trusted for that.
    User,
    /// Everything.
    All,
}

impl Origin {
    /// That of a text that has to be all there is.
    pub fn whole() -> Self {
        Self {
            path: None,
            reach: Reach::Itself,
        }
    }

    /// That of a text in the program.
    pub fn of_program() -> Self {
        Self {
            path: None,
            reach: Reach::Program,
        }
    }

    /// Whether it is in the program.
    pub fn in_program(&self) -> bool {
        matches!(self.reach, Reach::Program)
    }

    /// That of what stands on the command line.
    pub fn of_user(trust: bool) -> Self {
        Self {
            path: None,
            reach: if trust { Reach::All } else { Reach::User },
        }
    }

    /// That of a file, by who names it.
    pub fn of_file(path: &Path, by: &Self) -> Self {
        let folder = path.parent().filter(|f| !f.as_os_str().is_empty());
        Self {
            path: Some(path.to_owned()),
            reach: match &by.reach {
                Reach::User => Reach::Below(folder.unwrap_or(Path::new(".")).to_owned()),
                reach => reach.clone(),
            },
        }
    }

    /// Makes sure that a text from here can name a board or chip at all.
    ///
    /// # Errors
    /// It is whole.
    pub fn names(&self, kind: &str) -> Result<(), Problem> {
        match self.reach {
            Reach::Itself => Err(untrusted(format!(
                "the board of a saved machine names another {kind}"
            ))
            .help("a board that this program saves is whole: somebody else made this one")),
            _ => Ok(()),
        }
    }

    /// Where the file is that a text from here calls `name`.
    ///
    /// # Errors
    /// It is none of those that the text can name.
    pub fn file(&self, name: &Path) -> Result<PathBuf, Problem> {
        let path = self.beside(name);
        let folder = match &self.reach {
            Reach::User | Reach::All => return Ok(path),
            Reach::Below(folder) => folder,
            Reach::Program | Reach::Itself => {
                return Err(
                    untrusted(format!("`{}` is a file of this host", shown(name)))
                        .help("what does not come in a folder can name no file"),
                );
            }
        };
        let inside = match (folder.canonicalize(), path.canonicalize()) {
            (Ok(folder), Ok(path)) => path.starts_with(folder),
            // Whoever opens it says that it is not there.
            (_, Err(e)) => e.kind() == std::io::ErrorKind::NotFound,
            (Err(_), _) => false,
        };
        match inside {
            true => Ok(path),
            false => Err(untrusted(format!(
                "`{}` is not in the folder {} or below it",
                shown(name),
                shown(folder)
            ))
            .help("a file can name those beside it and below it; with `--trust`, any")),
        }
    }

    fn beside(&self, name: &Path) -> PathBuf {
        let folder = self.path.as_deref().and_then(Path::parent);
        folder.unwrap_or(Path::new("")).join(name)
    }

    fn is_users(&self) -> bool {
        matches!(self.reach, Reach::User | Reach::All)
    }
}

fn untrusted(message: String) -> Problem {
    Problem::error("untrusted", message)
}

impl Loaded {
    /// What the board plugs into a slot.
    ///
    /// # Errors
    /// As [`Loaded::backend`].
    pub fn default(&self, slot: &BoardSlot) -> Result<Option<Backend>, Problem> {
        let says = tree::get(&self.board.root, &["slot", &slot.name, "default"]);
        let default = slot.default.as_ref().zip(says);
        let default = default.map(|(backend, says)| self.backend(slot, backend, says.span));
        default.transpose()
    }

    /// What the text at this place plugs into a slot.
    ///
    /// # Errors
    /// It is no backend; or the text is not the user's, and it leads out of the program.
    pub fn backend(&self, slot: &BoardSlot, text: &str, at: Span) -> Result<Backend, Problem> {
        let backend = Backend::parse(slot.kind, text);
        let backend = backend.map_err(|e| {
            let problem = format!("nothing can be plugged into `{}`", slot.name);
            Problem::error("bad-value", problem).at(at, e.to_string())
        })?;
        match backend {
            Backend::Image(Image::File(path, filling)) if !filling.write => {
                let path = self.file(&path, at)?;
                Ok(Backend::Image(Image::File(path, filling)))
            }
            Backend::Image(Image::Null | Image::Acpi | Image::Rom(_))
            | Backend::Chardev(Chardev::Null | Chardev::Stdio)
            | Backend::Netdev(Netdev::Null)
            | Backend::Block(Block::Null | Block::Memory(_))
            | Backend::Folder(Folder::Null) => Ok(backend),
            _ if self.trust || self.origin(at).is_users() => Ok(backend),
            _ => {
                let name = &slot.name;
                let problem = untrusted(format!("a file plugs `{text}` into `{name}`"));
                Err(problem.at(at, "").help(format!(
                    "a file can plug in `null`, or `console` for characters\n\
                     `--backend {name}={text}` does this, `--trust` lets files do whatever they say"
                )))
            }
        }
    }

    /// The file that the text at this place calls `name`.
    ///
    /// # Errors
    /// The text is not the user's, and the file is none of those that it can name.
    pub fn file(&self, name: &Path, at: Span) -> Result<PathBuf, Problem> {
        let origin = self.origin(at);
        match self.trust {
            true => Ok(origin.beside(name)),
            false => origin.file(name).map_err(|problem| problem.at(at, "")),
        }
    }

    fn origin(&self, at: Span) -> &Origin {
        &self.origins[at.file.index()]
    }
}
