//! The symbols of the programs that the guest runs, by name and by address.

use std::cell::OnceCell;
use std::fs::File;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSymbol, ReadCache, SymbolKind};

/// A symbol is not meant for what is farther behind it, if it does not say how long it is.
const FAR: u64 = 1 << 20;

/// The symbols of some files. They are read when the first is asked for.
#[derive(Debug, Default)]
pub struct Symbols {
    files: Vec<PathBuf>,
    read: OnceCell<Vec<Symbol>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Symbol {
    address: u64,
    /// One that others see comes first.
    local: bool,
    size: u64,
    name: String,
}

impl Symbols {
    /// Those of these files. One that has none, or is no ELF file, adds nothing.
    pub fn of(files: Vec<PathBuf>) -> Self {
        Self {
            files,
            read: OnceCell::new(),
        }
    }

    /// Whether a file is one that symbols can be read from.
    ///
    /// # Errors
    /// Why not.
    pub fn try_file(path: &Path) -> Result<(), String> {
        match read(path)?.is_empty() {
            true => Err("it has no symbols".to_owned()),
            false => Ok(()),
        }
    }

    fn all(&self) -> &[Symbol] {
        self.read.get_or_init(|| {
            let files = self.files.iter();
            let mut all: Vec<_> = files.flat_map(|f| read(f).unwrap_or_default()).collect();
            all.sort();
            all
        })
    }

    /// Where the symbol of this name is.
    pub fn named(&self, name: &str) -> Option<u64> {
        let symbol = self.all().iter().find(|s| s.name == name)?;
        Some(symbol.address)
    }

    /// The symbol at or before an address of a CPU of 64 bits or 32, and how far that is behind it, as gdb writes them.
    pub fn at(&self, address: u64, wide: bool) -> Option<String> {
        let address = if wide { address } else { address & 0xffff_ffff };
        let all = self.all();
        let end = all.partition_point(|s| s.address <= address);
        let last = all[..end].last()?.address;
        let first = all.partition_point(|s| s.address < last);
        let here = &all[first..end];
        let symbol = here.iter().find(|s| s.size > 0).unwrap_or(&here[0]);
        let behind = address - symbol.address;
        let size = if symbol.size > 0 { symbol.size } else { FAR };
        (behind < size).then(|| match behind {
            0 => symbol.name.clone(),
            behind => format!("{}+{behind}", symbol.name),
        })
    }
}

fn read(path: &Path) -> Result<Vec<Symbol>, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    // A pipe was read for what is in it.
    if !file.metadata().is_ok_and(|there| there.is_file()) {
        return Err("it is no plain file".to_owned());
    }
    let cache = ReadCache::new(file);
    let object = object::File::parse(&cache).map_err(|e| e.to_string())?;
    let wide = object.is_64();
    let named = object.symbols().filter_map(|symbol| {
        let name = symbol.name().ok()?;
        let kind = symbol.kind();
        let code = matches!(
            kind,
            SymbolKind::Text | SymbolKind::Data | SymbolKind::Unknown
        );
        // What assemblers make for themselves.
        let own = name.is_empty() || name.starts_with(['$', '.']);
        (code && !own && (symbol.is_definition() || symbol.address() != 0)).then(|| Symbol {
            address: match wide {
                true => symbol.address(),
                false => symbol.address() & 0xffff_ffff,
            },
            local: symbol.is_local(),
            size: symbol.size(),
            name: name.to_owned(),
        })
    });
    Ok(named.collect())
}
