//! Frames as they arrive at one interface.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

pub struct Sniffer {
    frames: Arc<Mutex<Vec<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sniffer {
    pub fn at(interface: &str) -> Self {
        let index = nix::net::if_::if_nametoindex(interface).unwrap() as usize;
        let fd =
            socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), SockProtocol::EthAll).unwrap();
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::milliseconds(50)).unwrap();
        let (frames, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (seen, ended) = (frames.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut buffer = [0u8; 2048];
            while !ended.load(Ordering::Relaxed) {
                let Ok((n, from)) = recvfrom::<LinkAddr>(fd.as_raw_fd(), &mut buffer) else { continue };
                if from.is_some_and(|f| f.ifindex() == index) {
                    seen.lock().unwrap().push(buffer[..n].to_vec());
                }
            }
        });
        Self { frames, stop, thread: Some(thread) }
    }

    /// Frames with this hardware address as sender.
    pub fn count_mac(&self, mac: [u8; 6]) -> usize {
        self.count(|f| f[6..12] == mac || (is(f, 0x0806) && f.len() >= 28 && f[22..28] == mac))
    }

    /// IPv4 packets and ARP messages with this address as sender.
    pub fn count_ip(&self, ip: [u8; 4]) -> usize {
        self.count(|f| {
            (is(f, 0x0800) && f.len() >= 30 && f[26..30] == ip)
                || (is(f, 0x0806) && f.len() >= 32 && f[28..32] == ip)
        })
    }

    /// UDP packets from this port.
    pub fn count_udp_port(&self, port: u16) -> usize {
        self.count(|f| is(f, 0x0800) && f.len() >= 36 && f[23] == 17 && f[34..36] == port.to_be_bytes())
    }

    fn count(&self, matches: impl Fn(&[u8]) -> bool) -> usize {
        self.frames.lock().unwrap().iter().filter(|f| f.len() >= 14 && matches(f)).count()
    }
}

fn is(frame: &[u8], kind: u16) -> bool {
    frame[12..14] == kind.to_be_bytes()
}

impl Drop for Sniffer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
