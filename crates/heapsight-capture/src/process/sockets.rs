//! Which TCP ports a process listens on: its network namespace's table of sockets joined with its descriptors.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use super::procfs;
use crate::error::Result;

/// The state LISTEN in `/proc/net/tcp` (`TCP_LISTEN` of the kernel).
const LISTEN: &str = "0A";

/// A socket that waits for connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listener {
    addr: SocketAddr,
    inode: u64,
}

/// The addresses on which this very process listens, in its own network namespace; both IPv4 and IPv6.
///
/// # Errors
/// [`Kind::Permission`](crate::Kind::Permission) for a process of another user, [`Kind::NotFound`](crate::Kind::NotFound)
/// where there is no such process.
pub fn listening(pid: u32) -> Result<Vec<SocketAddr>> {
    // The descriptors come first: a socket that is closed meanwhile is in neither.
    let found = listening_descriptors(pid, &mut Tables::default())?;
    let mut found: Vec<SocketAddr> = found.into_iter().map(|(addr, _)| addr).collect();
    found.dedup();
    Ok(found)
}

/// The listening sockets of network namespaces that were read already, by the name of the namespace. The kernel walks all
/// of its connections to write one such table: some 10 ms.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    known: HashMap<PathBuf, Vec<Listener>>,
}

/// The same with the descriptors of the sockets.
pub(crate) fn listening_descriptors(pid: u32, tables: &mut Tables) -> Result<Vec<(SocketAddr, u32)>> {
    let held = held(pid)?;
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let namespace = procfs::link(pid, "ns/net")?;
    let listeners = match tables.known.entry(namespace) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(place) => place.insert(listeners(pid)?),
    };
    let mut found: Vec<(SocketAddr, u32)> =
        listeners.iter().filter_map(|l| Some((l.addr, *held.get(&l.inode)?))).collect();
    found.sort_unstable();
    Ok(found)
}

/// The descriptors that each event loop (`epoll`) of a process watches, in the order in which the loops were made as far
/// as their descriptors tell.
pub(crate) fn event_loops(pid: u32) -> Option<Vec<Vec<u32>>> {
    let mut loops = Vec::new();
    for (fd, link) in descriptors(pid).ok()? {
        if link == "anon_inode:[eventpoll]" {
            let watched = procfs::text(pid, &format!("fdinfo/{fd}")).map(|t| watched(&t)).unwrap_or_default();
            loops.push((fd, watched));
        }
    }
    loops.sort_unstable();
    Some(loops.into_iter().map(|(_, watched)| watched).collect())
}

/// The descriptors (`tfd`) in a text in the form of `/proc/PID/fdinfo/FD` of an epoll.
fn watched(text: &str) -> Vec<u32> {
    let line = |line: &str| line.strip_prefix("tfd:")?.split_ascii_whitespace().next()?.parse().ok();
    text.lines().filter_map(line).collect()
}

/// Which process listens on an address in the network namespace of `pid`: the one that would answer, or that makes a
/// bind of it fail. `None` where none does, or where it may not be looked at.
pub fn owner(addr: SocketAddr, pid: u32) -> Option<u32> {
    let mut listeners = listeners(pid).ok()?;
    listeners.retain(|l| takes(l.addr, addr));
    // The socket of the very address comes before one of all addresses.
    listeners.sort_by_key(|l| l.addr.ip() != addr.ip());
    let pids = procfs::pids().ok()?;
    listeners.iter().find_map(|listener| {
        // Most often it is the process itself; children that inherited the socket come after their parent.
        let candidates = std::iter::once(pid).chain(pids.iter().copied());
        candidates.into_iter().find(|&pid| held(pid).is_ok_and(|held| held.contains_key(&listener.inode)))
    })
}

/// Whether a socket on `held` receives connections to `wanted`, or stands in the way of binding it.
fn takes(held: SocketAddr, wanted: SocketAddr) -> bool {
    let (a, b) = (held.ip().to_canonical(), wanted.ip().to_canonical());
    held.port() == wanted.port() && (a == b || a.is_unspecified() || b.is_unspecified())
}

/// The sockets among the descriptors of a process: inode to descriptor.
fn held(pid: u32) -> Result<HashMap<u64, u32>> {
    let descriptors = descriptors(pid)?;
    Ok(descriptors.iter().filter_map(|(fd, link)| Some((socket_inode(link)?, *fd))).collect())
}

/// The descriptors of a process and what they lead to.
fn descriptors(pid: u32) -> Result<Vec<(u32, String)>> {
    procfs::supported()?;
    let list = fs::read_dir(procfs::path(pid, "fd")).map_err(|e| procfs::failure(pid, "fd", &e))?;
    // Descriptors come and go while they are listed.
    let descriptor = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let link = fs::read_link(entry.path()).ok()?.into_os_string().into_string().ok()?;
        Some((entry.file_name().to_str()?.parse().ok()?, link))
    };
    Ok(list.filter_map(descriptor).collect())
}

fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn listeners(pid: u32) -> Result<Vec<Listener>> {
    let mut found = parse(&procfs::text(pid, "net/tcp")?);
    // Not there where IPv6 is switched off.
    if let Ok(text) = procfs::text(pid, "net/tcp6") {
        found.extend(parse(&text));
    }
    Ok(found)
}

/// The listening sockets of a text in the form of `/proc/net/tcp` and `/proc/net/tcp6`.
fn parse(text: &str) -> Vec<Listener> {
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let local = fields.nth(1)?;
        (fields.nth(1)? == LISTEN).then_some(())?;
        let inode = fields.nth(5)?.parse().ok()?;
        Some(Listener { addr: address(local)?, inode })
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// An address as the kernel prints it: the IP as words in the byte order of the machine, the port as a number.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(at)?);
            }
            IpAddr::from(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn tables_as_the_kernel_prints_them() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:240D 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0 100 0\n   \
            1: 0100007F:240D 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 12346 1 0 100 0\n   \
            2: rubbish\n   3: 0100007F 0 0A 0 0 0 0 0 0\n";
        assert_eq!(parse(text), [Listener { addr: "127.0.0.1:9229".parse().unwrap(), inode: 12345 }]);
        let text = "header\n 0: 00000000000000000000000001000000:240E 00000000000000000000000000000000:0000 0A \
            00000000:00000000 00:00000000 00000000 0 0 77 1 0 100 0 0 10 0\n";
        assert_eq!(parse(text), [Listener { addr: "[::1]:9230".parse().unwrap(), inode: 77 }]);
        assert_eq!(parse(""), []);
    }

    #[test]
    fn what_an_event_loop_watches() {
        let text = "pos:\t0\nflags:\t02000002\ntfd:       30 events:       19 data:  1e\ntfd: x\ntfd:       17 events: 1\n";
        assert_eq!(watched(text), [30, 17]);
    }

    #[test]
    fn own_sockets_are_found_by_address_and_by_owner() {
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = v4.local_addr().unwrap();
        let me = std::process::id();
        assert!(listening(me).unwrap().contains(&addr));
        assert_eq!(owner(addr, me), Some(me));
        drop(v4);
        assert!(!listening(me).unwrap().contains(&addr));
        if let Ok(v6) = TcpListener::bind("[::1]:0") {
            assert!(listening(me).unwrap().contains(&v6.local_addr().unwrap()));
        }
    }

    #[test]
    fn a_socket_of_all_addresses_takes_each() {
        let takes = |a: &str, b: &str| takes(a.parse().unwrap(), b.parse().unwrap());
        assert!(takes("0.0.0.0:9229", "127.0.0.1:9229") && takes("[::]:9229", "127.0.0.1:9229"));
        assert!(takes("[::ffff:127.0.0.1]:9229", "127.0.0.1:9229"));
        assert!(!takes("127.0.0.2:9229", "127.0.0.1:9229") && !takes("127.0.0.1:9230", "127.0.0.1:9229"));
    }
}
