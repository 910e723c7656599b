//! The DHCP server (RFC 2131, RFC 2132): addresses by hardware address, for as long as this network lasts.

use std::net::{Ipv4Addr, SocketAddrV4};

use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr,
    EthernetAddress,
};

use super::link::Link;

pub(super) const PORT: u16 = DHCP_SERVER_PORT;
/// Addresses that are given away at most.
const LEASES: u32 = 16;
/// How long an address is the client's, in seconds.
const TIME: u32 = 86400;
const NAME_SERVER: u8 = 6;
const HOST_NAME: u8 = 12;
const DOMAIN_NAME: u8 = 15;
const TFTP_SERVER: u8 = 66;
const BOOT_FILE: u8 = 67;

/// Where the name of the file to boot is in a message, and how long it may be (RFC 2131, section 2).
const FILE: std::ops::Range<usize> = 108..236;

#[derive(Default)]
pub(super) struct Dhcp(Vec<(Ipv4Addr, EthernetAddress)>);

impl Dhcp {
    /// The address of a client: the one that it has, the one that it wants if that is free, or the next.
    fn lease(
        &mut self,
        client: EthernetAddress,
        wanted: Option<Ipv4Addr>,
        link: &Link,
    ) -> Option<Ipv4Addr> {
        if let Some((address, _)) = self.0.iter().find(|(_, owner)| *owner == client) {
            return Some(*address);
        }
        let first = u32::from(link.user.dhcp_start);
        let mut free = (first..first.saturating_add(LEASES))
            .map(Ipv4Addr::from)
            .filter(|a| link.user.is_guest(*a) && self.0.iter().all(|(given, _)| given != a));
        let next = free.next()?;
        let wanted = wanted.filter(|wanted| *wanted == next || free.any(|a| a == *wanted));
        let address = wanted.unwrap_or(next);
        self.0.push((address, client));
        Some(address)
    }

    /// Answers a client's message.
    pub(super) fn message(&mut self, message: &[u8], link: &mut Link) {
        let Ok(packet) = DhcpPacket::new_checked(message) else {
            return;
        };
        let Ok(asked) = DhcpRepr::parse(&packet) else {
            return;
        };
        let client = asked.client_hardware_address;
        let user = link.user.clone();
        if asked
            .server_identifier
            .is_some_and(|server| server != user.host)
        {
            return;
        }
        let wanted = asked
            .requested_ip
            .or(Some(asked.client_ip).filter(|ip| !ip.is_unspecified()));
        let (kind, address) = match asked.message_type {
            DhcpMessageType::Discover => match self.lease(client, wanted, link) {
                Some(address) => (DhcpMessageType::Offer, address),
                None => return,
            },
            DhcpMessageType::Request => match self.lease(client, wanted, link) {
                Some(address) if wanted.is_none_or(|wanted| wanted == address) => {
                    (DhcpMessageType::Ack, address)
                }
                _ => (DhcpMessageType::Nak, Ipv4Addr::UNSPECIFIED),
            },
            DhcpMessageType::Inform => (DhcpMessageType::Ack, Ipv4Addr::UNSPECIFIED),
            DhcpMessageType::Release | DhcpMessageType::Decline => {
                self.0.retain(|(_, owner)| *owner != client);
                return;
            }
            _ => return,
        };
        let granted = kind != DhcpMessageType::Nak;
        let server = user.host.to_string();
        let names = user.dns.octets();
        let options: Vec<_> = [
            (NAME_SERVER, Some(&names[..])),
            (HOST_NAME, user.hostname.as_deref().map(str::as_bytes)),
            (DOMAIN_NAME, user.domain.as_deref().map(str::as_bytes)),
            (
                TFTP_SERVER,
                user.tftp.is_some().then_some(server.as_bytes()),
            ),
            (BOOT_FILE, user.bootfile.as_deref().map(str::as_bytes)),
        ]
        .into_iter()
        .filter_map(|(kind, data)| {
            let data = data.filter(|data| granted && data.len() <= 255)?;
            Some(DhcpOption { kind, data })
        })
        .collect();
        let lease = (granted && asked.message_type != DhcpMessageType::Inform).then_some(TIME);
        let reply = DhcpRepr {
            message_type: kind,
            transaction_id: asked.transaction_id,
            secs: 0,
            client_hardware_address: client,
            client_ip: match granted {
                true => asked.client_ip,
                false => Ipv4Addr::UNSPECIFIED,
            },
            your_ip: address,
            server_ip: user.host,
            router: (granted && !user.restrict).then_some(user.host),
            subnet_mask: granted.then(|| Ipv4Addr::from(super::mask(user.prefix))),
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: asked.broadcast,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(user.host),
            parameter_request_list: None,
            dns_servers: None,
            max_size: None,
            lease_duration: lease,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &options,
        };
        // A message has 300 bytes at least (RFC 951).
        let mut bytes = vec![0; reply.buffer_len().max(300)];
        let Ok(mut out) = DhcpPacket::new_checked(&mut bytes[..]) else {
            return;
        };
        if reply.emit(&mut out).is_err() {
            return;
        }
        if let Some(file) = user.bootfile.as_deref().map(str::as_bytes)
            && granted
            && file.len() < FILE.len()
        {
            bytes[FILE][..file.len()].copy_from_slice(file);
        }
        let direct = asked.client_ip != Ipv4Addr::UNSPECIFIED && granted;
        let to = match direct {
            true => asked.client_ip,
            // A client without an address hears what is for all.
            false => Ipv4Addr::BROADCAST,
        };
        link.udp(
            SocketAddrV4::new(user.host, PORT),
            SocketAddrV4::new(to, DHCP_CLIENT_PORT),
            &bytes,
        );
    }
}
