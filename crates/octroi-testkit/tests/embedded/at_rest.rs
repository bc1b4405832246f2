//! A node's folder: encrypted, copied, put back; and old copies that are refused.

use std::fs;
use std::path::Path;

use octroi_lightning::embedded::{EmbeddedNode, backup, init, restore};
use octroi_lightning::{NodeError, Password};

use super::{one_payment, open, payer, sealed, settings, start};

/// Whether a file of the folder holds these bytes.
fn holds(dir: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let content = fs::read(entry.unwrap().path()).unwrap_or_default();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_node_keeps_its_channels_through_backup_and_restore() {
    let payer = payer().await;
    let (dir, copy) = (payer.store.path().join("gate"), payer.store.path().join("copy"));
    init(&dir, &Password::new("open sesame"), None).unwrap();
    let node = start(sealed(&payer, &dir, "open sesame")).await;
    let id = node.id();
    open(&payer, &node).await;
    one_payment(&payer, &node).await;
    node.stop().await;
    drop(node);
    let peer = payer.id();
    assert!(!holds(&dir, peer.as_bytes()) && !holds(&dir, &hex::decode(&peer).unwrap()), "who the peers are");
    let wrong = EmbeddedNode::start(sealed(&payer, &dir, "open, wheat")).await.err().unwrap();
    assert!(matches!(&wrong, NodeError::Config(text) if !text.contains("wheat")), "{wrong}");
    let open = EmbeddedNode::start(settings(&payer, &dir, payer.chain.source())).await;
    assert!(matches!(open, Err(NodeError::Config(_))), "no second node in the open");

    backup(&dir, &copy).unwrap();
    fs::remove_dir_all(&dir).unwrap();
    let lost = EmbeddedNode::start(sealed(&payer, &dir, "open sesame")).await;
    assert!(matches!(lost, Err(NodeError::Stale(_))), "nor a new node in the place of one that is lost");
    fs::remove_dir_all(&dir).unwrap();
    restore(&copy, &dir).unwrap();
    let node = start(sealed(&payer, &dir, "open sesame")).await;
    assert_eq!(node.id(), id);
    payer.reconnect(&node).await.unwrap();
    one_payment(&payer, &node).await;
    node.stop().await;
    drop(node);

    // It has run since: the copy is old now.
    fs::remove_dir_all(&dir).unwrap();
    assert!(matches!(restore(&copy, &dir), Err(NodeError::Stale(_))));
    fs::create_dir_all(&dir).unwrap();
    for entry in fs::read_dir(&copy).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
    }
    let old = EmbeddedNode::start(sealed(&payer, &dir, "open sesame")).await.err().unwrap();
    assert!(matches!(old, NodeError::Stale(_)), "copied by hand: {old}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_node_with_a_channel_is_encrypted_in_place() {
    let payer = payer().await;
    let dir = payer.store.path().join("gate");
    let node = start(settings(&payer, &dir, payer.chain.source())).await;
    let id = node.id();
    open(&payer, &node).await;
    one_payment(&payer, &node).await;
    node.stop().await;
    drop(node);
    let peer = hex::decode(payer.id()).unwrap();
    assert!(holds(&dir, &peer), "it lies open");

    let node = start(sealed(&payer, &dir, "from now on")).await;
    assert_eq!(node.id(), id, "the same keys");
    payer.reconnect(&node).await.unwrap();
    one_payment(&payer, &node).await;
    node.stop().await;
    assert!(!holds(&dir, &peer));
}
