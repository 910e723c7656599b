//! From memory to a picture.

use solderless_model::Picture;

/// A picture, pixel by pixel: red, green and blue.
pub fn made(
    width: usize,
    height: usize,
    mut pixel: impl FnMut(usize, usize) -> [u8; 3],
) -> Picture {
    let mut rgb = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            rgb.extend(pixel(x, y));
        }
    }
    Picture {
        width: width as u32,
        height: height as u32,
        rgb,
    }
}

/// A black one.
pub fn blank(width: usize, height: usize) -> Picture {
    made(width, height, |_, _| [0; 3])
}

/// A page of text: characters in plane 0, their attributes in plane 1, and fonts in plane 2.
pub struct Text {
    pub columns: usize,
    pub rows: usize,
    /// Dots of a character, and lines.
    pub width: usize,
    pub height: usize,
    /// The first character, and characters from one row to the next.
    pub start: usize,
    pub stride: usize,
    /// Where the fonts are: of characters without and with bit 3 of the attribute.
    pub fonts: [u64; 2],
    /// Line drawing characters go on into their ninth dot.
    pub lines_extend: bool,
    /// Bit 7 of the attribute blinks, and is no color.
    pub blinks: bool,
    /// The character that the cursor is on, and its lines.
    pub cursor: Option<usize>,
    pub cursor_lines: (usize, usize),
}

impl Text {
    /// `byte` gives one of the memory, `color` one of 16.
    pub fn picture(&self, byte: impl Fn(u64) -> u8, color: impl Fn(u8) -> [u8; 3]) -> Picture {
        let colors: [[u8; 3]; 16] = std::array::from_fn(|index| color(index as u8));
        made(
            self.columns * self.width,
            self.rows * self.height,
            |x, y| {
                let cell = self.start + y / self.height * self.stride + x / self.width;
                let (dot, line) = (x % self.width, y % self.height);
                let at = 4 * cell as u64;
                let (character, attribute) = (byte(at), byte(at + 1));
                let two = self.fonts[0] != self.fonts[1];
                let font = self.fonts[usize::from(attribute >> 3 & 1)];
                let row = byte(4 * (font + u64::from(character) * 32 + line as u64) + 2);
                let extends = self.lines_extend && (0xc0..0xe0).contains(&character);
                let lit = match dot {
                    0..8 => row >> (7 - dot) & 1 != 0,
                    _ => extends && row & 1 != 0,
                };
                let (from, to) = self.cursor_lines;
                let lit = lit || self.cursor == Some(cell) && (from..=to).contains(&line);
                let index = match lit {
                    true if two => attribute & 7,
                    true => attribute & 15,
                    false if self.blinks => attribute >> 4 & 7,
                    false => attribute >> 4,
                };
                colors[usize::from(index)]
            },
        )
    }
}
