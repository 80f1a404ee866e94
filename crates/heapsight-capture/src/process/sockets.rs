//! Which TCP ports a process listens on: its network namespace's table of sockets joined with its descriptors.

use std::{
    collections::HashSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
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
    let held = held(pid)?;
    let mut found: Vec<SocketAddr> =
        listeners(pid)?.into_iter().filter(|l| held.contains(&l.inode)).map(|l| l.addr).collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
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
        candidates.into_iter().find(|&pid| held(pid).is_ok_and(|held| held.contains(&listener.inode)))
    })
}

/// Whether a socket on `held` receives connections to `wanted`, or stands in the way of binding it.
fn takes(held: SocketAddr, wanted: SocketAddr) -> bool {
    let (a, b) = (held.ip().to_canonical(), wanted.ip().to_canonical());
    held.port() == wanted.port() && (a == b || a.is_unspecified() || b.is_unspecified())
}

/// The inodes of the sockets among the descriptors of a process.
fn held(pid: u32) -> Result<HashSet<u64>> {
    procfs::supported()?;
    let failure = |e: &std::io::Error| procfs::failure(pid, "fd", e);
    let list = fs::read_dir(procfs::path(pid, "fd")).map_err(|e| failure(&e))?;
    let mut held = HashSet::new();
    for entry in list {
        // Descriptors come and go while they are listed.
        let Ok(entry) = entry else { break };
        let Ok(link) = fs::read_link(entry.path()) else { continue };
        held.extend(link.to_str().and_then(socket_inode));
    }
    Ok(held)
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
