//! Commands to the screens.

use std::fs::File;
use std::io::{BufWriter, Write};

use schemars::JsonSchema;
use serde::Deserialize;
use solderless_model::Picture;

use super::super::Vm;
use super::super::table::{Error, Nothing};

/// A picture to be written to a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Screendump {
    /// The file, which is made anew.
    filename: String,
    /// The device whose screen it is; without it the first that has one.
    device: Option<String>,
    /// The number of the screen: 0, there is one.
    head: Option<u64>,
    /// How it is written; without it as PPM, or as PNG if the file's name ends with `.png`.
    format: Option<Format>,
}

/// A format of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Ppm,
    Png,
}

pub fn dump(vm: &mut Vm<'_>, args: Screendump) -> Result<Nothing, Error> {
    if args.head.is_some_and(|head| head != 0) {
        return Err("a device has one screen, number 0".into());
    }
    let picture = match &args.device {
        Some(name) => match vm.machine.device(name).map(|device| device.screen()) {
            Some(Some(picture)) => picture,
            Some(None) => return Err(format!("{name} has no screen").into()),
            None => {
                let devices = vm.loaded.plan.devices.iter();
                return Err(Error::no_device(name, devices.map(|d| d.path.as_str())));
            }
        },
        None => match vm.machine.screen() {
            Some(picture) => picture,
            None => return Err("no device of this board has a screen".into()),
        },
    };
    let png = args.filename.ends_with(".png");
    let format = args
        .format
        .unwrap_or(if png { Format::Png } else { Format::Ppm });
    let file = File::create(&args.filename);
    let written = file.and_then(|file| write(&picture, format, BufWriter::new(file)));
    match written {
        Ok(()) => Ok(Nothing {}),
        Err(e) => Err(format!("cannot write to {}: {e}", args.filename).into()),
    }
}

fn write(picture: &Picture, format: Format, mut to: impl Write) -> std::io::Result<()> {
    let Picture { width, height, rgb } = picture;
    match format {
        Format::Ppm => {
            write!(to, "P6\n{width} {height}\n255\n")?;
            to.write_all(rgb)?;
        }
        Format::Png => {
            let mut encoder = png::Encoder::new(&mut to, *width, *height);
            encoder.set_color(png::ColorType::Rgb);
            let mut writer = encoder.write_header()?;
            writer.write_image_data(rgb)?;
            writer.finish()?;
        }
    }
    to.flush()
}
