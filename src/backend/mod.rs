//! What plugs into the slots of a board: the terminal, files, sockets, images. Each kind of slot has one enum of backends and
//! one table of how they are written; a specification is parsed once, here.

pub mod block;
mod chardev;
mod exit_on;
mod folder;
mod image;
mod log;
mod netdev;
mod outlet;
mod outside;
mod pcap;
mod signals;
mod socket;
mod tap;
mod terminal;
mod traced;
mod user;
mod written;

use std::fmt;

use solderless_model::SlotKind;

pub use block::{Block, DiskImage, Format, LARGEST, Mode};
pub use chardev::{Chardev, monitor_forms};
pub use exit_on::ExitOn;
pub use folder::Folder;
pub use image::{Filling, Image, rom};
pub use log::{Line, flush, say};
pub use netdev::Netdev;
pub use outlet::{Outlet, PATIENCE};
pub use outside::{Face, Heard, Outside, Said, To};
pub use socket::listen;
pub use traced::traced;
pub use written::Forgotten;

/// The status of a run whose result is lost: the machine could not be saved at its end, or the console's output not written.
pub const LOST: u8 = 3;

/// A backend, of the kind of its slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// For a character stream.
    Chardev(Chardev),
    /// For a network.
    Netdev(Netdev),
    /// The content of a memory.
    Image(Image),
    /// A disk.
    Block(Block),
    /// A folder.
    Folder(Folder),
}

impl Backend {
    /// Reads what a board, a run file or the command line plugs into a slot of this kind. Nothing is opened.
    ///
    /// # Errors
    /// It is no backend of this kind; the message has those there are.
    pub fn parse(kind: SlotKind, text: &str) -> Result<Self, BackendError> {
        match kind {
            SlotKind::Chardev => read(chardev::FORMS, "", text).map(Self::Chardev),
            SlotKind::Netdev => Netdev::parse(text).map(Self::Netdev),
            SlotKind::Block => Block::parse(text).map(Self::Block),
            SlotKind::Folder => read(folder::FORMS, " for a folder", text).map(Self::Folder),
            SlotKind::Image => read(image::FORMS, " for an image", text).map(Self::Image),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chardev(chardev) => chardev.fmt(f),
            Self::Netdev(netdev) => netdev.fmt(f),
            Self::Image(image) => image.fmt(f),
            Self::Block(block) => block.fmt(f),
            Self::Folder(folder) => folder.fmt(f),
        }
    }
}

/// What a form of backends is to a user.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct About {
    /// How it is written.
    pub form: String,
    pub about: &'static str,
    /// An option of `run` that plugs one in.
    pub example: &'static str,
    /// What can follow behind commas, and what that does.
    pub options: Vec<(String, &'static str)>,
}

/// How the backends of a kind are written, and what each is.
pub fn forms(kind: SlotKind) -> Vec<About> {
    fn list<T>(forms: &[Form<T>]) -> Vec<About> {
        let about = |form: &Form<T>| About {
            form: form.to_string(),
            about: form.about,
            example: form.example,
            options: (form.options)(),
        };
        forms.iter().map(about).collect()
    }
    match kind {
        SlotKind::Chardev => list(chardev::FORMS),
        SlotKind::Netdev => list(netdev::FORMS),
        SlotKind::Block => list(block::FORMS),
        SlotKind::Folder => list(folder::FORMS),
        SlotKind::Image => list(image::FORMS),
    }
}

/// The forms in a row, as a line of help has them.
pub fn usage(kind: SlotKind) -> String {
    let forms: Vec<_> = forms(kind).into_iter().map(|about| about.form).collect();
    forms.join("|")
}

/// A form that backends of a kind have.
struct Form<T> {
    /// What the text begins with.
    name: &'static str,
    /// What follows the name: from a colon on what has to, after a comma in brackets what can.
    args: &'static str,
    /// What it is.
    about: &'static str,
    /// An option of `run` that plugs one in.
    example: &'static str,
    /// What can follow it behind commas, and what that does.
    options: fn() -> Vec<(String, &'static str)>,
    /// Reads what follows the colon or the comma.
    parse: fn(&str) -> Result<T, Wrong>,
}

/// Why a text is no backend of a form.
enum Wrong {
    /// It is not written so.
    Form,
    /// Something in it cannot be so.
    Because(String),
}

impl<T> fmt::Display for Form<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, self.args)
    }
}

/// Reads a backend of one of these forms, which are those of a kind of slot.
fn read<T>(forms: &[Form<T>], of: &str, text: &str) -> Result<T, BackendError> {
    let (name, rest) = text.split_at(text.find([':', ',']).unwrap_or(text.len()));
    let Some(form) = forms.iter().find(|form| form.name == name) else {
        let forms: Vec<_> = forms.iter().map(Form::to_string).collect();
        return Err(BackendError::new(format!(
            "unknown backend \"{text}\"{of}; there are {}",
            and(&forms)
        )));
    };
    let rest = match (form.args.chars().next(), rest) {
        (Some(':'), rest) => rest.strip_prefix(':'),
        (Some(_), rest) if !rest.is_empty() => rest.strip_prefix(','),
        (_, rest) => rest.is_empty().then_some(rest),
    };
    let read = rest.map_or(Err(Wrong::Form), form.parse);
    read.map_err(|wrong| {
        BackendError::new(match wrong {
            Wrong::Form => format!("\"{text}\" is no backend: write {form}"),
            Wrong::Because(why) => format!("\"{text}\" is no backend: {why}"),
        })
    })
}

/// A list as a sentence has it.
fn and(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// A backend that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BackendError(String);

impl BackendError {
    /// The whole message.
    fn new(message: String) -> Self {
        Self(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_backend_is_told_what_there_is() {
        let error = |kind, text| Backend::parse(kind, text).unwrap_err().to_string();
        assert_eq!(
            error(SlotKind::Chardev, "telepathy"),
            "unknown backend \"telepathy\"; there are console, stdio, null, pty, file:PATH, random, unix:PATH[,server] and tcp:HOST:PORT[,server]"
        );
        assert_eq!(
            error(SlotKind::Netdev, "pigeon:x"),
            "unknown backend \"pigeon:x\" for a network; there are null, user[,OPTION=…], udp:HOST:PORT,peer=HOST:PORT, unix:PATH,peer=PATH, stream:unix:PATH[,server] and tap:NAME"
        );
        assert_eq!(
            error(SlotKind::Image, "http://x"),
            "unknown backend \"http://x\" for an image; there are acpi, null, file:PATH[,OPTION…] and rom:NAME"
        );
        for (kind, text, form) in [
            (SlotKind::Chardev, "file", "file:PATH"),
            (SlotKind::Chardev, "null:", "null"),
            (SlotKind::Chardev, "tcp:h:1,loud", "tcp:HOST:PORT[,server]"),
            (SlotKind::Netdev, "unix:/a", "unix:PATH,peer=PATH"),
            (SlotKind::Image, "rom:", "rom:NAME"),
        ] {
            let message = format!("\"{text}\" is no backend: write {form}");
            assert_eq!(error(kind, text), message);
        }
    }

    #[test]
    fn what_is_listed_can_be_written() {
        for kind in [
            SlotKind::Chardev,
            SlotKind::Netdev,
            SlotKind::Block,
            SlotKind::Folder,
            SlotKind::Image,
        ] {
            for about in forms(kind) {
                let (option, text) = about.example.split_once(' ').unwrap();
                let text = match option {
                    "--backend" => text.split_once('=').unwrap().1.to_owned(),
                    "--disk" => Block::disk(text).map(|_| text.to_owned()).unwrap(),
                    _ => text.to_owned(),
                };
                if option != "--disk" {
                    Backend::parse(kind, &text).unwrap();
                }
                // A value in capitals stands for one.
                for (option, _) in about.options {
                    let name = about.form.split([':', '[']).next().unwrap();
                    let text = match kind {
                        SlotKind::Block | SlotKind::Image => format!("{name}:a,{option}"),
                        _ => format!("{name},{option}"),
                    };
                    let given = option.chars().any(char::is_uppercase);
                    let error = Backend::parse(kind, &text).err().map(|e| e.to_string());
                    let known = error.is_none_or(|e| given && !e.contains("there is no"));
                    assert!(known, "{text}");
                    if kind == SlotKind::Block {
                        let plain = Backend::parse(kind, &format!("{name}:a")).unwrap();
                        let set = Backend::parse(kind, &text).unwrap();
                        let default = option == "on-error=enospc";
                        assert_eq!(plain == set, default, "{text}");
                    }
                }
            }
        }
    }

    #[test]
    fn backends_are_written_as_in_qemu() {
        let chardev = |text: &str| match Backend::parse(SlotKind::Chardev, text) {
            Ok(Backend::Chardev(chardev)) => chardev,
            other => panic!("{text}: {other:?}"),
        };
        for (text, backend) in [
            ("null", Chardev::Null),
            ("console", Chardev::Stdio),
            ("stdio", Chardev::Stdio),
            ("file:a:b", Chardev::File("a:b".into())),
            (
                "unix:/run/x,server,nowait",
                Chardev::Unix("/run/x".into(), true),
            ),
            ("unix:x", Chardev::Unix("x".into(), false)),
            (
                "tcp:localhost:4000,server=on,wait=off",
                Chardev::Tcp("localhost:4000".into(), true),
            ),
            (
                "tcp::4000,server",
                Chardev::Tcp("127.0.0.1:4000".into(), true),
            ),
        ] {
            assert_eq!(chardev(text), backend, "{text}");
            let written = backend.to_string();
            assert_eq!(chardev(&written), backend, "{text}");
        }
        for bad in [
            "",
            "file:",
            "unix:",
            "tcp:h:1,loud",
            "tcp:h",
            "stdin",
            "pty:x",
        ] {
            assert!(Backend::parse(SlotKind::Chardev, bad).is_err(), "{bad}");
        }
        for (text, expected) in [
            ("null", Some(Netdev::Null)),
            (
                "udp:127.0.0.1:1,peer=h:2",
                Some(Netdev::Udp("127.0.0.1:1".into(), "h:2".into())),
            ),
            (
                "unix:/a,b,peer=/c",
                Some(Netdev::Unix("/a,b".into(), "/c".into())),
            ),
            ("udp:127.0.0.1:1", None),
            ("unix:/a,peer=", None),
            ("unix:,peer=/a", None),
            ("tcp:a,peer=b", None),
            ("", None),
        ] {
            let backend = Backend::parse(SlotKind::Netdev, text).ok();
            assert_eq!(backend, expected.map(Backend::Netdev), "{text}");
        }
    }
}
