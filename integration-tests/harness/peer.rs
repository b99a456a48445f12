//! A process of the original project beside ours, on a port that was free a moment ago.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{eventually, get};

/// A peer's process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    pub(crate) address: String,
}

impl Peer {
    pub(crate) fn start(binary: &Path, args: impl FnOnce(&str) -> Vec<String>) -> Self {
        let address = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().to_string()
        };
        let child = Command::new(binary)
            .args(args(&address))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address }
    }

    /// The original server on a data folder, ready. Nothing is scraped.
    #[track_caller]
    pub(crate) fn original_on(binary: &Path, data: &Path, args: &[&str]) -> Self {
        Self::original_with(binary, data, "", args)
    }

    /// Likewise, with a configuration.
    #[track_caller]
    pub(crate) fn original_with(binary: &Path, data: &Path, text: &str, args: &[&str]) -> Self {
        let config = data.with_extension("peer.yml");
        fs::write(&config, text).unwrap();
        let peer = Self::start(binary, |address| {
            let own = [
                format!("--config.file={}", config.display()),
                format!("--storage.tsdb.path={}", data.display()),
                format!("--web.listen-address={address}"),
            ];
            own.into_iter().chain(args.iter().map(|arg| (*arg).to_owned())).collect()
        });
        eventually("the original is ready", || {
            get(&peer.address, "/-/ready").ok().filter(|answer| answer.status == 200)
        });
        peer
    }

    /// SIGKILL, then the end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, then the end.
    pub(crate) fn stop(&mut self) {
        let done = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(done.unwrap().success());
        eventually("the peer ends", || self.child.try_wait().unwrap());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
