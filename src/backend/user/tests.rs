use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, ChecksumCapabilities, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::*;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);
const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const DNS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const MAC: EthernetAddress = EthernetAddress([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
const HOST_MAC: EthernetAddress = EthernetAddress([0x52, 0x55, 10, 0, 2, 2]);
/// Frames that a guest has room for.
const ROOM: usize = 64;

struct Wire(Sender<Vec<u8>>, Arc<AtomicUsize>);

impl Guest for Wire {
    fn room(&self) -> usize {
        ROOM.saturating_sub(self.1.load(SeqCst))
    }
    fn frame(&mut self, frame: Vec<u8>) {
        if self.room() > 0 && self.0.send(frame).is_ok() {
            self.1.fetch_add(1, SeqCst);
        }
    }
}

/// A guest on a network, as a network card sees it.
struct Lab {
    out: Sender<Vec<u8>>,
    come: Receiver<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    wake: Arc<Wake>,
    listening: Vec<SocketAddr>,
}

impl Lab {
    fn new(words: &str) -> Self {
        let user = User::parse(words).unwrap();
        let (out, frames) = channel();
        let (sender, come) = channel();
        let (wake, waiting) = (Wake::new().unwrap(), Arc::new(AtomicUsize::new(0)));
        let net = Net::new(user, Box::new(Wire(sender, waiting.clone())), wake.clone()).unwrap();
        let listening = net.listening();
        thread::spawn(move || {
            net.run(|| match frames.try_recv() {
                Ok(frame) => Ok(Some(frame)),
                Err(TryRecvError::Empty) => Ok(None),
                Err(TryRecvError::Disconnected) => Err(()),
            });
        });
        Self {
            out,
            come,
            waiting,
            wake,
            listening,
        }
    }

    fn send(&self, frame: Vec<u8>) {
        self.out.send(frame).unwrap();
        self.wake.wake();
    }

    fn receive(&self, time: Duration) -> Option<Vec<u8>> {
        let frame = self.come.recv_timeout(time).ok()?;
        // Those that wait for room hear of it.
        if self.waiting.fetch_sub(1, SeqCst) == ROOM {
            self.wake.wake();
        }
        Some(frame)
    }

    fn ethernet(&self, to: EthernetAddress, ethertype: EthernetProtocol, payload: &[u8]) {
        let mut frame = vec![0; 14 + payload.len()];
        let mut out = EthernetFrame::new_unchecked(&mut frame[..]);
        EthernetRepr {
            src_addr: MAC,
            dst_addr: to,
            ethertype,
        }
        .emit(&mut out);
        out.payload_mut().copy_from_slice(payload);
        self.send(frame);
    }

    fn ip(&self, from: Ipv4Addr, to: Ipv4Addr, protocol: IpProtocol, payload: &[u8]) {
        // Pieces of 1000 bytes.
        let pieces = payload.chunks(1000).enumerate();
        for (index, piece) in pieces {
            let header = Ipv4Repr {
                src_addr: from,
                dst_addr: to,
                next_header: protocol,
                payload_len: piece.len(),
                hop_limit: 64,
            };
            let mut bytes = vec![0; 20 + piece.len()];
            let mut packet = Ipv4Packet::new_unchecked(&mut bytes[..]);
            header.emit(&mut packet, &ChecksumCapabilities::default());
            packet.payload_mut().copy_from_slice(piece);
            packet.clear_flags();
            packet.set_ident(77);
            packet.set_more_frags(index * 1000 + piece.len() < payload.len());
            packet.set_frag_offset((index * 1000) as u16);
            packet.fill_checksum();
            let hardware = match to.is_broadcast() {
                true => EthernetAddress::BROADCAST,
                false => HOST_MAC,
            };
            self.ethernet(hardware, EthernetProtocol::Ipv4, &bytes);
        }
    }

    fn udp(&self, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) {
        let header = UdpRepr {
            src_port: from.port(),
            dst_port: to.port(),
        };
        let mut bytes = vec![0; 8 + payload.len()];
        header.emit(
            &mut UdpPacket::new_unchecked(&mut bytes[..]),
            &(*from.ip()).into(),
            &(*to.ip()).into(),
            payload.len(),
            |out| out.copy_from_slice(payload),
            &ChecksumCapabilities::default(),
        );
        self.ip(*from.ip(), *to.ip(), IpProtocol::Udp, &bytes);
    }

    /// The next IP packet of a protocol, put together.
    fn packet(&self, protocol: IpProtocol) -> Option<(Ipv4Addr, Ipv4Addr, Vec<u8>)> {
        let mut pieces = pieces::Pieces::default();
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let frame = self.receive(PATIENCE)?;
            assert!((60..=1514).contains(&frame.len()));
            let frame = EthernetFrame::new_checked(&frame[..]).unwrap();
            if frame.ethertype() == EthernetProtocol::Arp {
                let arp = ArpPacket::new_checked(frame.payload()).unwrap();
                if arp.operation() == ArpOperation::Request {
                    self.arp(ArpOperation::Reply, GUEST, HOST);
                }
                continue;
            }
            let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
            assert!(packet.verify_checksum());
            let (from, to) = (packet.src_addr(), packet.dst_addr());
            if packet.next_header() == protocol
                && let Some(whole) = pieces.whole(&packet, Instant::now())
            {
                return Some((from, to, whole.into_owned()));
            }
        }
        None
    }

    fn datagram(&self) -> (SocketAddrV4, SocketAddrV4, Vec<u8>) {
        let (from, to, bytes) = self.packet(IpProtocol::Udp).expect("a datagram");
        let datagram = UdpPacket::new_checked(&bytes[..]).unwrap();
        assert!(datagram.verify_checksum(&from.into(), &to.into()));
        (
            SocketAddrV4::new(from, datagram.src_port()),
            SocketAddrV4::new(to, datagram.dst_port()),
            datagram.payload().to_vec(),
        )
    }

    fn arp(&self, operation: ArpOperation, from: Ipv4Addr, to: Ipv4Addr) {
        let arp = ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: MAC,
            source_protocol_addr: from,
            target_hardware_addr: HOST_MAC,
            target_protocol_addr: to,
        };
        let mut bytes = vec![0; arp.buffer_len()];
        arp.emit(&mut ArpPacket::new_unchecked(&mut bytes[..]));
        self.ethernet(EthernetAddress::BROADCAST, EthernetProtocol::Arp, &bytes);
    }

    /// Nothing comes for a while, but for ARP.
    fn silent(&self) -> bool {
        let frame = self.receive(Duration::from_millis(300));
        frame.is_none_or(|f| f[12..14] == [8, 6])
    }
}

fn at(ip: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(ip, port)
}

/// The guest's own stack on a lab's wire.
struct Stack<'l> {
    lab: &'l Lab,
    interface: Interface,
    sockets: SocketSet<'static>,
    come: VecDeque<Vec<u8>>,
    start: Instant,
    port: u16,
}

struct Card<'a>(&'a Lab, &'a mut VecDeque<Vec<u8>>);
struct In(Vec<u8>);
struct Out<'a>(&'a Lab);

impl phy::RxToken for In {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}
impl phy::TxToken for Out<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; length];
        let result = f(&mut frame);
        self.0.send(frame);
        result
    }
}
impl phy::Device for Card<'_> {
    type RxToken<'a>
        = In
    where
        Self: 'a;
    type TxToken<'a>
        = Out<'a>
    where
        Self: 'a;
    fn receive(&mut self, _: SmolInstant) -> Option<(In, Out<'_>)> {
        Some((In(self.1.pop_front()?), Out(self.0)))
    }
    fn transmit(&mut self, _: SmolInstant) -> Option<Out<'_>> {
        Some(Out(self.0))
    }
    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

impl<'l> Stack<'l> {
    fn new(lab: &'l Lab) -> Self {
        let mut come = VecDeque::new();
        let config = Config::new(HardwareAddress::Ethernet(MAC));
        let mut interface = Interface::new(config, &mut Card(lab, &mut come), SmolInstant::ZERO);
        interface.update_ip_addrs(|a| a.push(IpCidr::new(GUEST.into(), 24)).unwrap());
        interface.routes_mut().add_default_ipv4_route(HOST).unwrap();
        Self {
            lab,
            interface,
            sockets: SocketSet::new(Vec::new()),
            come,
            start: Instant::now(),
            port: 40000,
        }
    }

    fn turn(&mut self) {
        while let Some(frame) = self.lab.receive(Duration::ZERO) {
            self.come.push_back(frame);
        }
        let now = SmolInstant::from_micros(self.start.elapsed().as_micros() as i64);
        let Self {
            lab,
            interface,
            sockets,
            come,
            ..
        } = self;
        interface.poll(now, &mut Card(lab, come), sockets);
        if self.come.is_empty()
            && let Some(frame) = self.lab.receive(Duration::from_millis(1))
        {
            self.come.push_back(frame);
        }
    }

    fn socket(&mut self) -> SocketHandle {
        let buffer = || SocketBuffer::new(vec![0; 1 << 16]);
        self.sockets.add(Socket::new(buffer(), buffer()))
    }

    fn connect(&mut self, to: SocketAddrV4) -> SocketHandle {
        let handle = self.socket();
        self.port += 1;
        let socket = self.sockets.get_mut::<Socket>(handle);
        let endpoint = IpEndpoint::new((*to.ip()).into(), to.port());
        socket
            .connect(self.interface.context(), endpoint, self.port)
            .unwrap();
        handle
    }

    fn get(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Goes on until this is so.
    fn until(&mut self, mut what: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !what(self) {
            assert!(start.elapsed() < PATIENCE, "it does not come to pass");
            self.turn();
        }
    }

    /// Sends this, ends, and takes all that comes.
    fn exchange(&mut self, handle: SocketHandle, data: &[u8]) -> Vec<u8> {
        let (mut sent, mut come) = (0, Vec::new());
        self.until(|stack| {
            let socket = stack.get(handle);
            if sent < data.len() && socket.can_send() {
                sent += socket.send_slice(&data[sent..]).unwrap();
                if sent == data.len() {
                    socket.close();
                }
            }
            while socket.can_recv() {
                socket
                    .recv(|bytes| (bytes.len(), come.extend_from_slice(bytes)))
                    .unwrap();
            }
            sent == data.len() && !socket.may_recv()
        });
        come
    }
}

/// Sends back what comes over each connection, once it has ended.
fn echo() -> SocketAddrV4 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut all = Vec::new();
                if stream.read_to_end(&mut all).is_ok() {
                    let _ = stream.write_all(&all);
                }
            });
        }
    });
    at(HOST, port)
}

fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn words_are_qemus() {
    let user = User::parse(
        "hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=udp::53-10.0.2.16:5353,restrict=on,hostname=box",
    )
    .unwrap();
    assert_eq!((user.host, user.dns, user.dhcp_start), (HOST, DNS, GUEST));
    assert_eq!(user.hostname.as_deref(), Some("box"));
    assert!(user.restrict);
    let forwards = user
        .forwards
        .iter()
        .map(|f| (f.transport, f.from.to_string(), f.to.to_string()));
    assert_eq!(
        forwards.collect::<Vec<_>>(),
        [
            (
                Transport::Tcp,
                "127.0.0.1:2222".to_owned(),
                "10.0.2.15:22".to_owned()
            ),
            (
                Transport::Udp,
                "127.0.0.1:53".to_owned(),
                "10.0.2.16:5353".to_owned()
            ),
        ]
    );
    let user = User::parse("net=192.168.76.9/24,dhcpstart=192.168.76.100").unwrap();
    assert_eq!(user.host, Ipv4Addr::new(192, 168, 76, 2));
    assert_eq!(user.net, Ipv4Addr::new(192, 168, 76, 0));
    assert_eq!(User::parse("").unwrap(), User::default());
    for (words, error) in [
        ("hostfd=x", "there is no \"hostfd\""),
        ("net=10.0.2.0", "write net=ADDRESS/BITS"),
        ("net=10.0.2.0/30", "8 to 27 bits"),
        (
            "host=10.0.3.2",
            "host=10.0.3.2 is no host of the network 10.0.2.0/24",
        ),
        ("dns=10.0.2.2", "host and dns are both 10.0.2.2"),
        ("dhcpstart=10.0.2.255", "is no host"),
        ("restrict=maybe", "restrict is on or off"),
        ("hostfwd=tcp:2222-22", "no port"),
        ("hostfwd=icmp::1-:2", "the protocol is tcp or udp"),
        ("hostfwd=tcp::1", "no guest's end"),
        ("hostfwd=tcp::99999-:22", "no port"),
        ("hostfwd=tcp::1-10.0.2.2:22", "is nowhere on the network"),
        ("name=x", "write name=NAME=ADDRESS"),
        ("tftp", "tftp wants a value"),
    ] {
        let told = User::parse(words).unwrap_err();
        assert!(told.contains(error), "{words}: {told}");
    }
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let user = User::parse(&format!("hostfwd=tcp::{port}-:22")).unwrap();
    let (sender, _) = channel();
    let wire = Box::new(Wire(sender, Arc::default()));
    let Err(told) = Net::new(user, wire, Wake::new().unwrap()) else {
        panic!("it is taken");
    };
    assert!(
        told.starts_with(&format!("cannot listen at 127.0.0.1:{port} for hostfwd: ")),
        "{told}"
    );
}

#[test]
fn its_addresses_answer() {
    let lab = Lab::new("");
    for ip in [HOST, DNS] {
        lab.arp(ArpOperation::Request, GUEST, ip);
        let frame = lab.receive(PATIENCE).unwrap();
        let frame = EthernetFrame::new_checked(&frame[..]).unwrap();
        let arp = ArpPacket::new_checked(frame.payload()).unwrap();
        assert_eq!(arp.operation(), ArpOperation::Reply);
        assert_eq!(arp.source_protocol_addr(), ip.octets());
        assert_eq!(arp.source_hardware_addr(), HOST_MAC.as_bytes());
    }
    // Nobody else is there.
    lab.arp(ArpOperation::Request, GUEST, Ipv4Addr::new(10, 0, 2, 77));
    lab.arp(ArpOperation::Request, GUEST, GUEST);
    assert!(lab.receive(Duration::from_millis(300)).is_none());
}

fn ping(lab: &Lab, to: Ipv4Addr, length: usize) -> Option<Vec<u8>> {
    let data = noise(length, 9);
    let request = Icmpv4Repr::EchoRequest {
        ident: 3,
        seq_no: 4,
        data: &data,
    };
    let mut bytes = vec![0; request.buffer_len()];
    request.emit(
        &mut Icmpv4Packet::new_unchecked(&mut bytes[..]),
        &ChecksumCapabilities::default(),
    );
    lab.ip(GUEST, to, IpProtocol::Icmp, &bytes);
    let (from, _, reply) = lab.packet(IpProtocol::Icmp)?;
    let reply = Icmpv4Packet::new_checked(&reply[..]).unwrap();
    match Icmpv4Repr::parse(&reply, &ChecksumCapabilities::default()).unwrap() {
        Icmpv4Repr::EchoReply {
            ident: 3,
            seq_no: 4,
            data,
        } => {
            assert_eq!(from, to);
            Some(data.to_vec())
        }
        Icmpv4Repr::DstUnreachable { .. } => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pings_are_answered() {
    let lab = Lab::new("restrict=on");
    for length in [0, 56, 4000] {
        assert_eq!(ping(&lab, HOST, length), Some(noise(length, 9)), "{length}");
    }
    assert_eq!(ping(&lab, DNS, 8), Some(noise(8, 9)));
    assert_eq!(
        ping(&lab, Ipv4Addr::new(192, 0, 2, 1), 8),
        None,
        "restricted"
    );
}

fn dhcp(lab: &Lab, mac: u8, message_type: DhcpMessageType, wanted: Option<Ipv4Addr>) -> Vec<u8> {
    let asked = DhcpRepr {
        message_type,
        transaction_id: 0x1234_5678,
        secs: 0,
        client_hardware_address: EthernetAddress([2, 0, 0, 0, 0, mac]),
        client_ip: Ipv4Addr::UNSPECIFIED,
        your_ip: Ipv4Addr::UNSPECIFIED,
        server_ip: Ipv4Addr::UNSPECIFIED,
        router: None,
        subnet_mask: None,
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: true,
        requested_ip: wanted,
        client_identifier: None,
        server_identifier: None,
        parameter_request_list: None,
        dns_servers: None,
        max_size: None,
        lease_duration: None,
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    let mut bytes = vec![0; asked.buffer_len()];
    asked
        .emit(&mut DhcpPacket::new_checked(&mut bytes[..]).unwrap())
        .unwrap();
    lab.udp(
        at(Ipv4Addr::UNSPECIFIED, 68),
        at(Ipv4Addr::BROADCAST, 67),
        &bytes,
    );
    let (from, to, answer) = lab.datagram();
    assert_eq!((from, to), (at(HOST, 67), at(Ipv4Addr::BROADCAST, 68)));
    answer
}

#[test]
fn dhcp_gives_addresses() {
    let lab = Lab::new("hostname=box,domainname=example.org,bootfile=vmlinux");
    let offer = dhcp(&lab, 1, DhcpMessageType::Discover, None);
    let packet = DhcpPacket::new_checked(&offer[..]).unwrap();
    let repr = DhcpRepr::parse(&packet).unwrap();
    assert_eq!(repr.message_type, DhcpMessageType::Offer);
    assert_eq!(
        (repr.your_ip, repr.router, repr.server_identifier),
        (GUEST, Some(HOST), Some(HOST))
    );
    assert_eq!(repr.subnet_mask, Some(Ipv4Addr::new(255, 255, 255, 0)));
    assert_eq!(repr.dns_servers.unwrap()[..], [DNS]);
    assert_eq!(packet.get_boot_file(), Ok("vmlinux"));
    for (kind, data) in [(12, &b"box"[..]), (15, b"example.org"), (67, b"vmlinux")] {
        assert!(
            packet.options().any(|o| o.kind == kind && o.data == data),
            "{kind}"
        );
    }
    let kind = |answer: &[u8]| {
        let packet = DhcpPacket::new_checked(answer).unwrap();
        let repr = DhcpRepr::parse(&packet).unwrap();
        (repr.message_type, repr.your_ip)
    };
    let next = |n| Ipv4Addr::new(10, 0, 2, n);
    let ask = |mac, wanted| kind(&dhcp(&lab, mac, DhcpMessageType::Request, wanted));
    assert_eq!(ask(1, Some(GUEST)), (DhcpMessageType::Ack, GUEST));
    assert_eq!(ask(2, Some(GUEST)).0, DhcpMessageType::Nak);
    assert_eq!(ask(2, Some(next(16))), (DhcpMessageType::Ack, next(16)));
    assert_eq!(ask(3, Some(next(20))), (DhcpMessageType::Ack, next(20)));
    assert_eq!(
        ask(3, None),
        (DhcpMessageType::Ack, next(20)),
        "it keeps its address"
    );
}

#[test]
fn datagrams_go_to_the_host_and_back() {
    let lab = Lab::new("");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 1 << 16];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            buffer[..length].reverse();
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
    lab.arp(ArpOperation::Request, GUEST, HOST);
    for length in [0, 1, 1472, 1473, 5000] {
        let data = noise(length, 5);
        lab.udp(at(GUEST, 1234), at(HOST, port), &data);
        let (from, to, mut back) = lab.datagram();
        back.reverse();
        assert_eq!((from, to), (at(HOST, port), at(GUEST, 1234)));
        assert_eq!(back, data, "{length}");
    }
}

fn query(lab: &Lab, name: &str, kind: DnsQueryType) -> (u8, Vec<u8>) {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.bytes());
    }
    bytes.extend([0]);
    bytes.extend(u16::from(kind).to_be_bytes());
    bytes.extend([0, 1]);
    lab.udp(at(GUEST, 999), at(DNS, 53), &bytes);
    let (from, _, answer) = lab.datagram();
    assert_eq!(from, at(DNS, 53));
    assert_eq!(answer[..2], [0x12, 0x34]);
    let rest = answer[bytes.len()..].to_vec();
    (answer[3] & 15, rest)
}

#[test]
fn own_names_are_known() {
    let lab = Lab::new("restrict=on,name=mirror.test=10.0.2.2");
    let (code, record) = query(&lab, "Mirror.TEST", DnsQueryType::A);
    assert_eq!((code, &record[record.len() - 4..]), (0, &[10, 0, 2, 2][..]));
    assert_eq!(query(&lab, "mirror.test", DnsQueryType::Aaaa), (0, vec![]));
    assert_eq!(
        query(&lab, "example.org", DnsQueryType::A).0,
        2,
        "it has nobody to ask"
    );
}

#[test]
fn connections_carry_what_is_sent_both_ways() {
    let lab = Lab::new("");
    let mut stack = Stack::new(&lab);
    let to = echo();
    for length in [1, 1460, 100_000, 4 << 20] {
        let handle = stack.connect(to);
        let data = noise(length, length as u64 + 1);
        assert!(stack.exchange(handle, &data) == data, "{length}");
    }
}

#[test]
fn a_closed_port_refuses_and_so_does_what_is_nowhere() {
    let lab = Lab::new("");
    let mut stack = Stack::new(&lab);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap().port();
    drop(listener);
    // The second would be a door to all that listens on the host's loopback addresses.
    for to in [at(HOST, closed), at(Ipv4Addr::new(127, 1, 2, 3), 80)] {
        let handle = stack.connect(to);
        stack.until(|stack| stack.get(handle).state() == State::Closed);
    }
}

#[test]
fn many_connections_at_once_and_in_turn() {
    let lab = Lab::new("");
    let mut stack = Stack::new(&lab);
    let to = echo();
    let handles: Vec<_> = (0..200).map(|_| stack.connect(to)).collect();
    stack.until(|stack| handles.iter().all(|h| stack.get(*h).may_send()));
    for (n, handle) in handles.iter().enumerate() {
        let data = noise(3000, n as u64 + 1);
        assert!(stack.exchange(*handle, &data) == data, "{n}");
        stack.sockets.remove(*handle);
    }
    for n in 0..1000 {
        let handle = stack.connect(to);
        assert_eq!(stack.exchange(handle, b"hello"), b"hello", "{n}");
        stack.sockets.remove(handle);
    }
}

#[test]
fn forwards_lead_to_the_guest() {
    let lab = Lab::new("restrict=on,hostfwd=tcp:127.0.0.1:0-:22,hostfwd=udp::0-:69");
    let mut stack = Stack::new(&lab);
    let handle = stack.socket();
    stack.get(handle).listen(22).unwrap();
    let address = lab.listening[0];
    let peer = thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut text = [0; 5];
        stream.read_exact(&mut text).unwrap();
        stream.write_all(b"and back").unwrap();
        text
    });
    stack.until(|stack| stack.get(handle).may_send());
    stack.get(handle).send_slice(b"guest").unwrap();
    let mut back = Vec::new();
    stack.until(|stack| {
        let socket = stack.get(handle);
        while socket.can_recv() {
            socket
                .recv(|bytes| (bytes.len(), back.extend_from_slice(bytes)))
                .unwrap();
        }
        !socket.may_recv()
    });
    assert_eq!(
        (&peer.join().unwrap(), &back[..]),
        (b"guest", &b"and back"[..])
    );
    // Nobody listens in the guest: the host's end is reset.
    let address = lab.listening[0];
    let peer = thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.read(&mut [0; 5]).map_or(0, |length| length)
    });
    while !peer.is_finished() {
        stack.turn();
    }
    assert_eq!(peer.join().unwrap(), 0);
    drop(stack);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"ahoy", lab.listening[1]).unwrap();
    let (from, to, text) = lab.datagram();
    assert_eq!((to, &text[..]), (at(GUEST, 69), &b"ahoy"[..]));
    assert_eq!(from, at(HOST, socket.local_addr().unwrap().port()));
    lab.udp(to, from, b"aye");
    let mut answer = [0; 10];
    assert_eq!(socket.recv(&mut answer).unwrap(), 3);
}

#[test]
fn restricted_guests_get_nowhere() {
    let lab = Lab::new("restrict=on");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    lab.udp(
        at(GUEST, 1000),
        at(HOST, socket.local_addr().unwrap().port()),
        b"out",
    );
    assert!(socket.recv(&mut [0; 10]).is_err());
    let mut stack = Stack::new(&lab);
    let handle = stack.connect(at(HOST, port));
    stack.until(|stack| stack.get(handle).state() == State::Closed);
    assert!(listener.accept().is_err());
}

fn tftp(lab: &Lab, name: &str, options: &[&str]) -> std::result::Result<Vec<u8>, String> {
    let mut request = vec![0, 1];
    for word in [name, "octet"].iter().chain(options) {
        request.extend(word.bytes());
        request.push(0);
    }
    let mut all = Vec::new();
    let mut block = 512;
    lab.udp(at(GUEST, 2000), at(HOST, 69), &request);
    loop {
        let (from, _, packet) = lab.datagram();
        assert_eq!(from, at(HOST, 69));
        match packet[1] {
            6 => {
                let words: Vec<_> = packet[2..].split(|b| *b == 0).collect();
                let size = words.iter().position(|w| *w == b"blksize");
                if let Some(size) = size {
                    block = String::from_utf8_lossy(words[size + 1]).parse().unwrap();
                }
                lab.udp(at(GUEST, 2000), from, &[0, 4, 0, 0]);
            }
            3 => {
                all.extend(&packet[4..]);
                lab.udp(at(GUEST, 2000), from, &[0, 4, packet[2], packet[3]]);
                if packet.len() < 4 + block {
                    return Ok(all);
                }
            }
            5 => return Err(String::from_utf8_lossy(&packet[4..packet.len() - 1]).into_owned()),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn tftp_sends_files_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("boot");
    std::fs::create_dir(&inner).unwrap();
    let data = noise(100_000, 3);
    std::fs::write(inner.join("kernel"), &data).unwrap();
    std::fs::write(inner.join("even"), &data[..1024]).unwrap();
    std::fs::write(folder.path().join("secret"), b"x").unwrap();
    std::os::unix::fs::symlink("../secret", inner.join("link")).unwrap();
    let lab = Lab::new(&format!("tftp={}", inner.display()));
    assert!(tftp(&lab, "kernel", &[]).unwrap() == data);
    assert!(tftp(&lab, "/kernel", &["blksize", "1428", "tsize", "0"]).unwrap() == data);
    assert!(
        tftp(&lab, "kernel", &["blksize", "60000"]).unwrap() == data,
        "it takes what fits a frame"
    );
    assert_eq!(tftp(&lab, "even", &[]).unwrap().len(), 1024);
    for name in ["../secret", "link", "nothing", "", "/etc/passwd", "."] {
        assert_eq!(
            tftp(&lab, name, &[]).unwrap_err(),
            "there is no such file",
            "{name}"
        );
    }
}

/// A guest that takes nothing costs nothing, and is served when it does.
#[test]
fn a_guest_that_does_not_read_holds_nobody() {
    let lab = Lab::new("");
    let to = echo();
    let mut stack = Stack::new(&lab);
    let handle = stack.connect(to);
    stack.until(|stack| stack.get(handle).may_send());
    for n in 0..10_000u32 {
        lab.ip(GUEST, HOST, IpProtocol::Icmp, &{
            let data = n.to_be_bytes();
            let request = Icmpv4Repr::EchoRequest {
                ident: 1,
                seq_no: 1,
                data: &data,
            };
            let mut bytes = vec![0; request.buffer_len()];
            request.emit(
                &mut Icmpv4Packet::new_unchecked(&mut bytes[..]),
                &ChecksumCapabilities::default(),
            );
            bytes
        });
    }
    assert!(lab.waiting.load(SeqCst) <= ROOM);
    let data = noise(200_000, 8);
    assert!(stack.exchange(handle, &data) == data);
}

/// Whatever the guest sends, the network goes on.
#[test]
fn frames_of_all_kinds() {
    let count = std::env::var("FRAMES").map_or(20_000, |n| n.parse().unwrap());
    let seed = std::env::var("SEED").map_or(1, |n| n.parse().unwrap());
    let lab = Lab::new("tftp=/,name=a.b=1.2.3.4,hostfwd=udp::0-:9");
    let mut state: u64 = seed;
    let mut next = move || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as usize
    };
    for _ in 0..count {
        let mut bytes: Vec<u8> = (0..next() % 120).map(|_| next() as u8).collect();
        let to = [HOST, DNS, Ipv4Addr::BROADCAST, Ipv4Addr::new(10, 0, 2, 9)][next() % 4];
        let from = [GUEST, HOST, Ipv4Addr::UNSPECIFIED][next() % 3];
        let port = [53, 67, 69, 9, 1][next() % 5];
        match next() % 6 {
            0 => lab.send(bytes),
            1 => lab.ethernet(HOST_MAC, EthernetProtocol::Ipv4, &bytes),
            2 => lab.ethernet(HOST_MAC, EthernetProtocol::Arp, &bytes),
            3 => {
                let protocol = [IpProtocol::Tcp, IpProtocol::Udp, IpProtocol::Icmp][next() % 3];
                lab.ip(from, to, protocol, &bytes);
            }
            4 => {
                if bytes.len() > 1 {
                    bytes[0] = 0;
                    bytes[1] = next() as u8 % 7;
                }
                lab.udp(at(from, 68), at(to, port), &bytes);
            }
            _ => {
                let segment = TcpRepr {
                    src_port: 1 + next() as u16 % 4,
                    dst_port: 1 + next() as u16 % 4,
                    control: [
                        TcpControl::None,
                        TcpControl::Syn,
                        TcpControl::Fin,
                        TcpControl::Rst,
                    ][next() % 4],
                    seq_number: TcpSeqNumber(next() as i32),
                    ack_number: (next() % 2 == 0).then(|| TcpSeqNumber(next() as i32)),
                    window_len: next() as u16,
                    window_scale: Some(next() as u8 % 16),
                    max_seg_size: Some(next() as u16 % 2000),
                    sack_permitted: true,
                    sack_ranges: [None; 3],
                    timestamp: None,
                    payload: &bytes,
                };
                let mut out = vec![0; segment.buffer_len()];
                segment.emit(
                    &mut TcpPacket::new_unchecked(&mut out[..]),
                    &from.into(),
                    &to.into(),
                    &ChecksumCapabilities::default(),
                );
                lab.ip(from, to, IpProtocol::Tcp, &out);
            }
        }
        while lab.receive(Duration::ZERO).is_some() {}
    }
    // What is still on its way.
    while !lab.silent() {}
    while lab.receive(Duration::from_millis(300)).is_some() {}
    assert_eq!(ping(&lab, HOST, 4), Some(noise(4, 9)));
}
