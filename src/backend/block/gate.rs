//! Which files an image can name: those below it. It may be somebody else's, so they lie beside it or in a folder there.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use imago::file::File;
use imago::format::builder::FormatDriverBuilder;
use imago::format::gate::ImplicitOpenGate;
use imago::{FormatAccess, StorageOpenOptions};

use super::lock;
use crate::visible::shown;

/// Images that lie on one another at most.
const DEPTH: u32 = 64;

/// Files that were opened, and how long each was.
pub type Opened = Vec<(std::fs::File, u64)>;

/// Opens the backing files of an image.
pub struct Gate {
    image: PathBuf,
    any: bool,
    left: u32,
    /// Why it has refused one.
    problem: Rc<RefCell<Option<io::Error>>>,
    /// Those that it has opened.
    opened: Rc<RefCell<Opened>>,
}

impl Gate {
    /// For the image at this path; `any` lets it name every file of the host.
    pub fn new(
        image: &Path,
        any: bool,
        problem: Rc<RefCell<Option<io::Error>>>,
        opened: Rc<RefCell<Opened>>,
    ) -> Self {
        Self {
            image: image.to_owned(),
            any,
            left: DEPTH,
            problem,
            opened,
        }
    }

    fn refuse(&self, why: String) -> io::Error {
        *self.problem.borrow_mut() = Some(io::Error::other(why.clone()));
        io::Error::other(why)
    }
}

/// Whether the image at this path may lie on that one: it is in the same folder or below it, or `any` lets it.
///
/// # Errors
/// It may not, or one of them is not there.
pub fn allowed(image: &Path, below: &Path, any: bool) -> io::Result<PathBuf> {
    let folder = image.parent().filter(|f| !f.as_os_str().is_empty());
    let named = shown(below);
    let found = folder.unwrap_or(Path::new(".")).canonicalize();
    let (folder, whole) = match (found, below.canonicalize()) {
        (Ok(folder), Ok(whole)) => (folder, whole),
        (_, Err(e)) | (Err(e), _) => {
            return Err(io::Error::other(format!(
                "it lies on {named}, which cannot be opened: {e}"
            )));
        }
    };
    match any || whole.starts_with(&folder) {
        true => Ok(whole),
        false => Err(io::Error::other(format!(
            "it lies on {named}, which is not in its folder or below it; `,backing=any` lets it"
        ))),
    }
}

impl ImplicitOpenGate<File> for Gate {
    fn open_format<F: FormatDriverBuilder<File>>(
        &mut self,
        builder: F,
    ) -> io::Result<FormatAccess<File>> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(self.refuse(format!("more than {DEPTH} images lie on one another")));
        };
        let gate = Self {
            image: self.image.clone(),
            any: self.any,
            left,
            problem: self.problem.clone(),
            opened: self.opened.clone(),
        };
        Ok(FormatAccess::new(builder.open(gate)?))
    }

    fn open_storage(&mut self, options: StorageOpenOptions) -> io::Result<File> {
        let Some(path) = options.get_filename().map(Path::to_owned) else {
            return Err(self.refuse("it lies on something without a name".to_owned()));
        };
        let named = shown(&path);
        let whole = allowed(&self.image, &path, self.any);
        let whole = whole.map_err(|e| self.refuse(e.to_string()))?;
        let open = || {
            let file = std::fs::File::open(&whole)?;
            let about = file.metadata()?;
            if !about.is_file() {
                return Err(io::Error::other("it is no file"));
            }
            lock::take(&file, false)?;
            let kept = (file.try_clone()?, about.len());
            self.opened.borrow_mut().push(kept);
            let options = StorageOpenOptions::new().filename(&whole).write(false);
            File::from_open_file(file, options)
        };
        let file = open();
        tracing::info!("the image lies on {named}");
        file.map_err(|e| self.refuse(format!("it lies on {named}, which cannot be opened: {e}")))
    }
}
