//! An Ethernet interface of the host whose cable ends in the machine: QEMU's `-netdev tap`. One that is there already, and that the
//! user owns, takes no privilege.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::BackendError;
use super::netdev::pass;
use super::outside::{Feed, spawn};
use crate::machine::Sink;

/// Bytes of an interface's name at most (Linux, `IFNAMSIZ`, without its end).
const LONGEST_NAME: usize = 15;

/// Whether an interface can be called so.
///
/// # Errors
/// It cannot: a sentence about it.
pub(super) fn name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_graphic() && !"/:%,".contains(c);
    match (1..=LONGEST_NAME).contains(&name.len())
        && name.chars().all(plain)
        && !name.starts_with('.')
    {
        true => Ok(()),
        false => Err(format!(
            "{name:?} is no name of an interface: write tap:NAME with 1 to {LONGEST_NAME} letters and digits"
        )),
    }
}

/// Takes an interface, or makes it; the frames that come from it go to `feed`.
///
/// # Errors
/// There is none that the user may have: the reason, and what to do about it.
pub(super) fn open(name: &str, interface: &str, feed: Feed) -> Result<Box<dyn Sink>, BackendError> {
    // Whether it is up, and which addresses it has, is the host's.
    let device = DeviceBuilder::default()
        .name(interface)
        .layer(Layer::L2)
        .inherit_enable_state()
        .build_sync();
    let device = device.map_err(|e| {
        let why = why(interface, &e);
        BackendError::new(format!("{name}: tap:{interface}: {why}"))
    })?;
    let device = Arc::new(device);
    let from = device.clone();
    let (slot, interface) = (name.to_owned(), interface.to_owned());
    spawn(name, move || {
        let mut buffer = vec![0; 1 << 16];
        while feed.allowance(&|| false).is_some() {
            match from.recv(&mut buffer) {
                Ok(length) if pass(&buffer[..length], &feed).is_err() => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!("{slot}: nothing comes from {interface} any more: {error}");
                    return;
                }
            }
        }
    })?;
    Ok(Box::new(Tap(device)))
}

/// Why an interface cannot be had, and what to do about it.
fn why(interface: &str, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => format!(
            "making or taking this interface is not permitted; have it made once with `sudo ip tuntap add {interface} mode tap user $USER`, or use --net user, which takes no privilege"
        ),
        ErrorKind::NotFound => {
            "this host has no /dev/net/tun; load its module with `sudo modprobe tun`, or use --net user".to_owned()
        }
        ErrorKind::ResourceBusy => "another program has this interface".to_owned(),
        ErrorKind::InvalidInput => {
            "there is an interface of this name, which is no TAP interface".to_owned()
        }
        _ => format!("cannot be opened: {error}"),
    }
}

struct Tap(Arc<SyncDevice>);

impl Sink for Tap {
    fn send(&mut self, frame: &[u8]) {
        // The host's side takes a frame at once, or loses it, as where the interface is down.
        let _ = self.0.send(frame);
    }
}
