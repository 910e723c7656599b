//! Numbers as people type them: QEMU's expressions, with the registers of the CPU that is looked at.

/// How deep parentheses and signs go.
const DEEPEST: u32 = 64;

/// What an expression comes to, in 64 bits. As in QEMU, `&`, `|` and `^` bind more than `+` and `-`, and `*`, `/` and `%` most.
/// A number is as in C; `$NAME` is a register, `'c'` a character, another name what `names` makes of it.
///
/// # Errors
/// It is no expression.
pub fn value(text: &str, names: &mut dyn FnMut(Name<'_>) -> Option<u64>) -> Result<u64, String> {
    let mut reader = Reader {
        rest: text.trim(),
        names,
        depth: 0,
    };
    let value = reader.sum()?;
    match reader.rest {
        "" => Ok(value),
        rest => Err(format!("'{text}' is no number: what is '{rest}'?")),
    }
}

/// A name in an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'a> {
    /// A register, without the `$`.
    Register(&'a str),
    /// Of the program that the guest runs.
    Symbol(&'a str),
}

struct Reader<'a, 'n> {
    rest: &'a str,
    names: &'n mut dyn FnMut(Name<'_>) -> Option<u64>,
    depth: u32,
}

impl Reader<'_, '_> {
    /// The next character if it is one of these.
    fn next(&mut self, of: &str) -> Option<char> {
        let c = self.rest.chars().next().filter(|c| of.contains(*c))?;
        self.rest = self.rest[c.len_utf8()..].trim_start();
        Some(c)
    }

    fn sum(&mut self) -> Result<u64, String> {
        let mut value = self.logic()?;
        while let Some(sign) = self.next("+-") {
            let other = self.logic()?;
            value = match sign {
                '+' => value.wrapping_add(other),
                _ => value.wrapping_sub(other),
            };
        }
        Ok(value)
    }

    fn logic(&mut self) -> Result<u64, String> {
        let mut value = self.product()?;
        while let Some(sign) = self.next("&|^") {
            let other = self.product()?;
            value = match sign {
                '&' => value & other,
                '|' => value | other,
                _ => value ^ other,
            };
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<u64, String> {
        let mut value = self.unary()?;
        while let Some(sign) = self.next("*/%") {
            let other = self.unary()?;
            value = match (sign, other) {
                ('*', _) => value.wrapping_mul(other),
                (_, 0) => return Err("division by zero".to_owned()),
                ('/', _) => (value as i64).wrapping_div(other as i64) as u64,
                _ => (value as i64).wrapping_rem(other as i64) as u64,
            };
        }
        Ok(value)
    }

    fn unary(&mut self) -> Result<u64, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("the expression is too deep".to_owned());
        }
        let value = match self.next("+-~(") {
            Some('+') => self.unary(),
            Some('-') => self.unary().map(u64::wrapping_neg),
            Some('~') => self.unary().map(|value| !value),
            Some(_) => {
                let value = self.sum()?;
                match self.next(")") {
                    Some(_) => Ok(value),
                    None => Err("a ')' is missing".to_owned()),
                }
            }
            None => self.atom(),
        };
        self.depth -= 1;
        value
    }

    fn atom(&mut self) -> Result<u64, String> {
        if let Some(quoted) = self.rest.strip_prefix('\'') {
            let mut chars = quoted.chars();
            if let (Some(c), Some('\'')) = (chars.next(), chars.next()) {
                self.rest = chars.as_str().trim_start();
                return Ok(u64::from(u32::from(c)));
            }
            return Err(format!("'{}' is no character", self.rest));
        }
        let register = self.rest.strip_prefix('$');
        let from = register.unwrap_or(self.rest);
        let end = from.find(|c: char| !(c.is_alphanumeric() || "_.".contains(c)));
        let (word, rest) = from.split_at(end.unwrap_or(from.len()));
        let digits = word.starts_with(|c: char| c.is_ascii_digit());
        let value = match (register, word) {
            (Some(_), name) => (self.names)(Name::Register(name))
                .ok_or_else(|| format!("the CPU has no register '{name}'"))?,
            (None, "") if from.is_empty() => {
                return Err("a number is missing at the end".to_owned());
            }
            (None, "") => return Err(format!("'{from}' is no number")),
            (None, word) if digits => {
                number(word).ok_or_else(|| format!("'{word}' is no number"))?
            }
            (None, name) => (self.names)(Name::Symbol(name)).ok_or_else(|| {
                format!("'{name}' is no number and no symbol; a register is $NAME")
            })?,
        };
        self.rest = rest.trim_start();
        Ok(value)
    }
}

/// A number as C writes it.
fn number(word: &str) -> Option<u64> {
    let lower = word.to_ascii_lowercase();
    match lower.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if lower.len() > 1 && lower.starts_with('0') => u64::from_str_radix(&lower, 8).ok(),
        None => lower.parse().ok(),
    }
}

/// How memory and numbers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// How many.
    pub count: u32,
    /// `x`, `d`, `u`, `o` or `c`, or `i` for instructions.
    pub base: char,
    /// Bytes of each: 1, 2, 4 or 8.
    pub size: u8,
}

/// The most values that are printed at once.
const MOST: u32 = 1 << 16;

impl Format {
    /// Reads what stands behind the `/`: `4xw` is four words in hexadecimal. Whatever is left out is one, hexadecimal, words.
    ///
    /// # Errors
    /// It is no format, or asks for too much.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "'/{text}' is no format; it is /COUNT, then x, d, u, o, c or i, then b, h, w or g"
            )
        };
        let letters = text.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = &text[..text.len() - letters.len()];
        let count = match digits {
            "" => 1,
            digits => digits.parse().map_err(|_| wrong())?,
        };
        if count > MOST {
            return Err(format!("{count} are too many to print; at most {MOST}"));
        }
        let (mut base, mut size) = ('x', None);
        for letter in letters.chars() {
            match letter {
                'x' | 'd' | 'u' | 'o' | 'c' | 'i' => base = letter,
                'b' => size = Some(1),
                'h' => size = Some(2),
                'w' => size = Some(4),
                'g' => size = Some(8),
                _ => return Err(wrong()),
            }
        }
        let usual = if base == 'c' { 1 } else { 4 };
        let size = size.unwrap_or(usual);
        Ok(Self { count, base, size })
    }

    /// A value of so many bytes as it is printed.
    pub fn show(self, value: u64, size: u8) -> String {
        let bits = 8 * u32::from(size.clamp(1, 8));
        let value = value << (64 - bits) >> (64 - bits);
        match self.base {
            'd' => ((value << (64 - bits)) as i64 >> (64 - bits)).to_string(),
            'u' => value.to_string(),
            'o' => format!("0{value:o}"),
            'c' => match u8::try_from(value) {
                Ok(byte @ (b'\'' | b'\\')) => format!("'\\{}'", char::from(byte)),
                Ok(byte @ 0x20..0x7f) => format!("'{}'", char::from(byte)),
                Ok(b'\n') => "'\\n'".to_owned(),
                Ok(b'\r') => "'\\r'".to_owned(),
                _ => format!("'\\x{value:02x}'"),
            },
            _ => format!("0x{value:0digits$x}", digits = usize::from(size) * 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Result<u64, String> {
        value(text, &mut |name| match name {
            Name::Register("sp") => Some(0x8000_1000),
            Name::Symbol("start") => Some(0x40),
            _ => None,
        })
    }

    #[test]
    fn expressions_are_qemus() {
        for (text, expected) in [
            ("1+2*3", 7),
            ("0x10 | 3", 0x13),
            // As QEMU has it, and not C.
            ("1 | 2 + 4", 7),
            ("1 + 2 & 2", 3),
            ("-5", 5u64.wrapping_neg()),
            ("~0", u64::MAX),
            ("(1+2)*3", 9),
            ("010", 8),
            ("'A'", 65),
            ("$sp + 16", 0x8000_1010),
            ("start+4", 0x44),
            ("-7/2", 3u64.wrapping_neg()),
            ("10%4", 2),
            ("0xffffffffffffffff+1", 0),
        ] {
            assert_eq!(of(text), Ok(expected), "{text}");
        }
        for (text, reason) in [
            ("", "a number is missing at the end"),
            ("1+", "a number is missing at the end"),
            ("10/0", "division by zero"),
            ("4xw", "'4xw' is no number"),
            ("(1", "a ')' is missing"),
            ("1 2", "'1 2' is no number: what is '2'?"),
            ("$foo", "the CPU has no register 'foo'"),
            (
                "ten",
                "'ten' is no number and no symbol; a register is $NAME",
            ),
            ("?", "'?' is no number"),
        ] {
            assert_eq!(of(text).unwrap_err(), reason, "{text}");
        }
        assert!(of(&"(".repeat(100_000)).is_err());
        assert!(of(&"-".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_number_or_a_reason(text in "[-+*/%&|^~()$'a-z0-9x ]{0,40}|.*") {
            let _ = of(&text);
        }
    }

    #[test]
    fn values_are_printed_by_format() {
        let show = |format: &str, value| {
            let format = Format::parse(format).unwrap();
            format.show(value, format.size)
        };
        for (format, value, shown) in [
            ("", 1, "0x00000001"),
            ("xb", 0x1ff, "0xff"),
            ("dh", 0xffff, "-1"),
            ("u", u64::MAX, "4294967295"),
            ("ob", 8, "010"),
            ("c", 65, "'A'"),
            ("c", 0, "'\\x00'"),
            ("xg", u64::MAX, "0xffffffffffffffff"),
        ] {
            assert_eq!(show(format, value), shown, "{format}");
        }
    }
}
