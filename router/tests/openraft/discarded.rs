//! An entry that was appended here and then replaced by another leader's.

use openraft::errors::{ClientWriteError, RaftError};

use crate::cluster::{Cluster, config};

/// Its outcome is unknown, and openraft's own way to ask for the leader takes it for an entry that was never
/// appended: who repeats on that word writes twice where the entry was committed after all.
#[tokio::test]
async fn an_entry_that_was_replaced_is_told_apart_from_one_that_was_refused_only_by_hand() {
    let cluster = Cluster::founded(config(Some(false))).await;
    cluster.net.cut(1, 2);
    cluster.net.cut(1, 3);
    let core = cluster.core(1).clone();
    let pending = async move { core.client_write("replaced".to_owned()).await };
    let others = async {
        cluster.until("another one leads", |cluster| cluster.leads(2) || cluster.leads(3)).await;
        let leader = if cluster.leads(2) { 2 } else { 3 };
        cluster.core(leader).client_write("instead".to_owned()).await.unwrap();
        cluster.net.heal();
    };
    let (outcome, ()) = tokio::join!(pending, others);
    let error = outcome.unwrap_err();
    assert!(error.forward_to_leader().is_some(), "as if it had never been appended: {error}");
    assert!(
        matches!(error, RaftError::APIError(ClientWriteError::LogEntryDiscarded(_))),
        "{error}"
    );
    cluster.until("the word is there instead", |cluster| cluster.machine(1).holds("instead")).await;
    assert!(!cluster.machine(1).holds("replaced"));
    // Before it would be appended it is refused for certain.
    let refused = cluster.core(1).client_write("refused".to_owned()).await.unwrap_err();
    assert!(
        matches!(refused, RaftError::APIError(ClientWriteError::ForwardToLeader(_))),
        "{refused}"
    );
}
