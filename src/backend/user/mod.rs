//! A network behind which the host's is: the guest's packets are opened here, and what they ask for is done with sockets of the
//! host, so that no privilege is needed. It is QEMU's `-netdev user`, with the same addresses and the same words.
//!
//! The guest sees a network with one other host, `host`, that is its router, its DHCP and TFTP server, and by whose address it
//! reaches what listens at 127.0.0.1 on the host of this program; and with a name server, `dns`. There is one thread. It never waits
//! for the guest: what the guest has no room for stays with the host's sockets.

mod dhcp;
mod dns;
mod link;
mod net;
mod pieces;
mod ping;
mod tcp;
#[cfg(test)]
mod tests;
mod tftp;
mod udp;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};

use self::link::Guest;
use self::net::Net;
pub(super) use self::net::Wake;
use super::outside::{Feed, spawn};
use super::{BackendError, and};
use crate::machine::Sink;
use crate::visible::shown;

/// Frames of the guest's that wait for the network at most.
const KEPT: usize = 1024;
/// The machine stands still while there is room for fewer: more than what the guest can send before it does.
const MARGIN: usize = 256;

/// What a forward carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// A port of the host that leads to one of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// What it carries.
    pub transport: Transport,
    /// Where the host listens.
    pub from: SocketAddr,
    /// Where the guest listens.
    pub to: SocketAddrV4,
}

/// A user-mode network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The network's address.
    pub net: Ipv4Addr,
    /// How many of its bits are the network's.
    pub prefix: u8,
    /// The host as the guest sees it.
    pub host: Ipv4Addr,
    /// The name server as the guest sees it.
    pub dns: Ipv4Addr,
    /// The first address that DHCP gives away.
    pub dhcp_start: Ipv4Addr,
    /// The name that DHCP gives the guest.
    pub hostname: Option<String>,
    /// The domain that DHCP gives the guest.
    pub domain: Option<String>,
    /// The guest reaches nothing but what is in this network, and the ports that lead to it.
    pub restrict: bool,
    /// Ports of the host that lead to the guest.
    pub forwards: Vec<Forward>,
    /// The folder whose files TFTP sends.
    pub tftp: Option<PathBuf>,
    /// The file that DHCP tells the guest to boot.
    pub bootfile: Option<String>,
    /// Names that the name server knows by itself.
    pub names: Vec<(String, Ipv4Addr)>,
}

impl Default for User {
    fn default() -> Self {
        Self::on(Ipv4Addr::new(10, 0, 2, 0), 24)
    }
}

/// A number of bits of an address.
fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

/// The options: name, value, and what each does.
const OPTIONS: &[(&str, &str, &str)] = &[
    (
        "net",
        "ADDRESS/BITS",
        "another network than 10.0.2.0/24, of 8 to 27 bits",
    ),
    ("host", "ADDRESS", "the host's address there"),
    ("dns", "ADDRESS", "the name server's"),
    ("dhcpstart", "ADDRESS", "the first guest's"),
    ("hostname", "NAME", "what DHCP calls the guest"),
    ("domainname", "NAME", "what DHCP calls its domain"),
    (
        "hostfwd",
        "tcp:[ADDRESS]:PORT-[GUEST]:PORT",
        "a port of the host that leads to one of the guest, udp: for datagrams; may be given again",
    ),
    (
        "restrict",
        "on",
        "the guest reaches nothing outside but what is named here",
    ),
    (
        "tftp",
        "FOLDER",
        "the host sends the files in a folder by TFTP",
    ),
    ("bootfile", "NAME", "the file that DHCP has the guest boot"),
    (
        "name",
        "NAME=ADDRESS",
        "a name that the name server knows by itself; may be given again",
    ),
];

/// How the options are written, and what they do.
pub(super) fn options() -> Vec<(String, &'static str)> {
    let written = OPTIONS.iter();
    written
        .map(|(name, value, about)| (format!("{name}={value}"), *about))
        .collect()
}

impl User {
    /// The n-th address of the network is the host's (2), the name server's (3), the first guest's (15), as in QEMU.
    fn on(net: Ipv4Addr, prefix: u8) -> Self {
        let nth = |n: u32| Ipv4Addr::from(u32::from(net) + n);
        Self {
            net,
            prefix,
            host: nth(2),
            dns: nth(3),
            dhcp_start: nth(15),
            hostname: None,
            domain: None,
            restrict: false,
            forwards: Vec::new(),
            tftp: None,
            bootfile: None,
            names: Vec::new(),
        }
    }

    /// Reads what stands behind `user,` as QEMU writes it.
    ///
    /// # Errors
    /// A word that there is not, or a value that it does not take: a sentence about it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words = || {
            let words = text.split(',').filter(|word| !word.is_empty());
            words.map(|word| word.split_once('=').unwrap_or((word, "")))
        };
        let mut user = Self::default();
        for (name, value) in words() {
            if name == "net" {
                user = network(value)?;
            }
        }
        let mut guest = None;
        for (name, value) in words() {
            let address = || {
                let bad = || format!("{name}={value} is no IPv4 address");
                value.parse::<Ipv4Addr>().map_err(|_| bad())
            };
            let some = || match value.is_empty() {
                true => Err(format!("{name} wants a value: {name}=…")),
                false => Ok(value.to_owned()),
            };
            match name {
                "net" => {}
                "host" => user.host = address()?,
                "dns" => user.dns = address()?,
                "dhcpstart" => user.dhcp_start = address()?,
                "hostname" => user.hostname = Some(some()?),
                "domainname" => user.domain = Some(some()?),
                "bootfile" => user.bootfile = Some(some()?),
                "tftp" => user.tftp = Some(some()?.into()),
                "restrict" => {
                    user.restrict = match value {
                        "" | "on" | "yes" | "y" => true,
                        "off" | "no" | "n" => false,
                        _ => return Err(format!("restrict is on or off, not {value}")),
                    }
                }
                "name" => {
                    let bad = || format!("name={value}: write name=NAME=ADDRESS");
                    let (name, address) = value.split_once('=').ok_or_else(bad)?;
                    let address = address.parse().map_err(|_| bad())?;
                    user.names.push((name.to_ascii_lowercase(), address));
                }
                "hostfwd" => guest.get_or_insert_with(Vec::new).push(value),
                _ => {
                    let known = OPTIONS.iter().map(|(known, ..)| (*known).to_owned());
                    let known = and(&known.collect::<Vec<_>>());
                    return Err(format!("there is no \"{name}\"; there are {known}"));
                }
            }
        }
        for forward in guest.into_iter().flatten() {
            let forward = user.forward(forward)?;
            user.forwards.push(forward);
        }
        for (what, address) in [
            ("host", user.host),
            ("dns", user.dns),
            ("dhcpstart", user.dhcp_start),
        ] {
            if !user.holds(address) || user.edge(address) {
                return Err(format!(
                    "{what}={address} is no host of the network {}/{}",
                    user.net, user.prefix
                ));
            }
        }
        if user.host == user.dns {
            return Err(format!("host and dns are both {}", user.host));
        }
        Ok(user)
    }

    /// `tcp:[HOSTADDR]:PORT-[GUESTADDR]:PORT`.
    fn forward(&self, text: &str) -> Result<Forward, String> {
        let bad = |why: &str| {
            format!(
                "hostfwd={text}: {why}; write hostfwd=tcp:[ADDRESS]:PORT-[GUEST]:PORT, or udp:…"
            )
        };
        let (transport, rest) = text.split_once(':').ok_or_else(|| bad("no protocol"))?;
        let transport = match transport {
            "tcp" | "" => Transport::Tcp,
            "udp" => Transport::Udp,
            _ => return Err(bad("the protocol is tcp or udp")),
        };
        let (from, to) = rest.rsplit_once('-').ok_or_else(|| bad("no guest's end"))?;
        let end = |text: &str, default: Ipv4Addr| {
            let (address, port) = text.rsplit_once(':').ok_or_else(|| bad("no port"))?;
            let port = port.parse::<u16>().map_err(|_| bad("no port"))?;
            let address = match address {
                "" => default,
                address => address
                    .parse()
                    .map_err(|_| bad(&format!("{address} is no IPv4 address")))?,
            };
            Ok::<_, String>(SocketAddrV4::new(address, port))
        };
        let to = end(to, self.dhcp_start)?;
        if !self.is_guest(*to.ip()) || to.port() == 0 {
            return Err(bad(&format!("{to} is nowhere on the network")));
        }
        Ok(Forward {
            transport,
            from: SocketAddr::V4(end(from, Ipv4Addr::LOCALHOST)?),
            to,
        })
    }

    fn holds(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == u32::from(self.net)
    }

    /// The network's own address, or that of all in it.
    fn edge(&self, address: Ipv4Addr) -> bool {
        let rest = u32::from(address) & !mask(self.prefix);
        rest == 0 || rest == !mask(self.prefix)
    }

    /// An address that the guest can have.
    pub(self) fn is_guest(&self, address: Ipv4Addr) -> bool {
        self.holds(address) && !self.edge(address) && address != self.host && address != self.dns
    }

    /// Where on the host's side a destination of the guest's is; `None` if it is nowhere.
    pub(self) fn outside(&self, to: SocketAddrV4) -> Option<SocketAddrV4> {
        let ip = *to.ip();
        if self.restrict || to.port() == 0 {
            return None;
        }
        if ip == self.host {
            return Some(SocketAddrV4::new(Ipv4Addr::LOCALHOST, to.port()));
        }
        let nowhere = self.holds(ip)
            || ip.is_loopback()
            || ip.is_unspecified()
            || ip.is_broadcast()
            || ip.is_multicast();
        (!nowhere).then_some(to)
    }

    /// The address by which the guest knows who is at this one of the host's side.
    pub(self) fn inside(&self, from: Ipv4Addr) -> Ipv4Addr {
        match from.is_loopback() || self.holds(from) || from.is_unspecified() {
            true => self.host,
            false => from,
        }
    }
}

/// `ADDRESS/BITS`.
fn network(text: &str) -> Result<User, String> {
    let bad =
        || format!("net={text}: write net=ADDRESS/BITS, such as 10.0.2.0/24, with 8 to 27 bits");
    let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
    let prefix = prefix.parse::<u8>().map_err(|_| bad())?;
    let address = address.parse::<Ipv4Addr>().map_err(|_| bad())?;
    // Sixteen guests have to fit behind the fourteen that are spoken for.
    if !(8..=27).contains(&prefix) || address.is_loopback() || address.is_multicast() {
        return Err(bad());
    }
    let net = Ipv4Addr::from(u32::from(address) & mask(prefix));
    Ok(User::on(net, prefix))
}

/// Starts a network; the frames that come of it go to `feed`.
///
/// # Errors
/// A port of the host cannot be listened at, or the host refuses a thread.
pub(super) fn open(name: &str, user: &User, feed: Feed) -> Result<Wire, BackendError> {
    let failed = |why: String| BackendError::new(format!("{name}: {why}"));
    if let Some(folder) = user.tftp.as_ref().filter(|folder| !folder.is_dir()) {
        return Err(failed(format!("tftp={} is no folder", shown(folder))));
    }
    let wake = Wake::new().map_err(|e| failed(format!("cannot start: {e}")))?;
    let guest = Box::new(Slot(feed, wake.clone()));
    let net = Net::new(user.clone(), guest, wake.clone()).map_err(failed)?;
    for address in net.listening() {
        tracing::info!("{name}: {address} leads to the guest");
    }
    let (frames, mut consumer): (_, Consumer<Vec<u8>>) = RingBuffer::new(KEPT);
    spawn(name, move || {
        net.run(|| match consumer.pop() {
            Ok(frame) => Ok(Some(frame)),
            Err(_) if consumer.is_abandoned() => Err(()),
            Err(_) => Ok(None),
        });
    })?;
    Ok(Wire { frames, wake })
}

/// The slot that a network is plugged into.
struct Slot(Feed, Arc<Wake>);

impl Guest for Slot {
    fn room(&self) -> usize {
        self.0.room(&self.1)
    }

    fn frame(&mut self, frame: Vec<u8>) {
        // Without a machine the network has no more frames either, and ends.
        let _ = self.0.frame(frame);
    }
}

/// The machine's end of the wire.
pub(super) struct Wire {
    frames: Producer<Vec<u8>>,
    wake: Arc<Wake>,
}

impl Sink for Wire {
    fn send(&mut self, frame: &[u8]) {
        // One for which there is no room is lost, as on any network.
        if self.frames.push(frame.to_vec()).is_ok() {
            self.wake.wake();
        }
    }

    fn wait(&mut self) -> Option<Duration> {
        (self.frames.slots() < MARGIN).then_some(Duration::from_millis(1))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.wake.wake();
    }
}
