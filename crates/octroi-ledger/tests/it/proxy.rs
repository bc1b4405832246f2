//! A wire between a gate and its database that can be cut, or go silent.

use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on to a port of this machine.
pub(crate) struct Proxy {
    port: u16,
    /// Counts the cuts.
    cuts: Arc<watch::Sender<u64>>,
    silent: Arc<watch::Sender<bool>>,
}

impl Proxy {
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cuts, silent) = (Arc::new(watch::Sender::new(0)), Arc::new(watch::Sender::new(false)));
        tokio::spawn(serve(listener, target, Arc::clone(&cuts), Arc::clone(&silent)));
        Self { port, cuts, silent }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Cuts every connection, wherever it is in what it says.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Whether nothing gets through although connections stay.
    pub(crate) fn silence(&self, silent: bool) {
        self.silent.send_replace(silent);
    }
}

async fn serve(
    listener: TcpListener,
    target: u16,
    cuts: Arc<watch::Sender<u64>>,
    silent: Arc<watch::Sender<bool>>,
) {
    while let Ok((mut near, _)) = listener.accept().await {
        let (mut cut, mut silent) = (cuts.subscribe(), silent.subscribe());
        tokio::spawn(async move {
            let Ok(mut far) = TcpStream::connect(("127.0.0.1", target)).await else { return };
            loop {
                let quiet = *silent.borrow_and_update();
                let passing = async {
                    if quiet {
                        std::future::pending::<()>().await;
                    }
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                };
                tokio::select! {
                    () = passing => return,
                    _ = cut.changed() => return,
                    _ = silent.changed() => {}
                }
            }
        });
    }
}
