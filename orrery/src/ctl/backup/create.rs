//! `orrery ctl backup create`: copies every shard from its leader.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use orrery_model::ShardId;
use orrery_proto::storage::SnapshotMeta;
use orrery_router_client::cluster::ClusterError;
use prost::Message as _;
use serde_json::json;

use super::file::FileWriter;
use super::manifest::{Manifest, ManifestNode, ManifestShard};
use super::shard::Tally;
use crate::ctl::context::Context;
use crate::ctl::error::CtlError;
use crate::ctl::fleet::Fleet;
use crate::ctl::print::Output;

/// Copies the cluster into a new folder.
pub(in crate::ctl) async fn create(context: &Context, dir: &Path) -> Result<Output, CtlError> {
    claim(dir)?;
    let fleet = Fleet::look(context).await?;
    let context = &context.with_all(&fleet);
    let table = context.client.table(context.soon()).await?;
    let created_at_ms = context.host.clock.wall_ms();
    let mut manifest = Manifest::new(fleet.cluster_id.clone(), created_at_ms, &table.slots);
    manifest.nodes = fleet.nodes.iter().map(node_entry).collect();
    // The control shard comes last, so that it knows every incarnation that the data shards speak of.
    for shard in fleet.data_shards.iter().copied().chain([ShardId::CONTROL]) {
        let (entry, tally) = copy(context, dir, shard).await?;
        if shard == ShardId::CONTROL {
            manifest.next_incarnation = tally.next_incarnation;
        }
        manifest.shards.push(entry);
    }
    manifest.shards.sort_by_key(|shard| shard.shard);
    let sum = |of: fn(&ManifestShard) -> u64| manifest.shards.iter().map(of).sum::<u64>();
    let (routes, bytes) = (sum(|shard| shard.routes), sum(|shard| shard.bytes));
    let text = format!(
        "{} shards with {routes} routes of cluster {} are in {} ({bytes} bytes)\n",
        manifest.shards.len(),
        manifest.cluster_id,
        dir.display(),
    );
    let json = json!({ "dir": dir, "bytes": bytes, "routes": routes, "manifest": manifest });
    manifest.write(dir)?;
    Ok(Output::new(text, json))
}

/// Makes the folder, or takes an empty one.
fn claim(dir: &Path) -> Result<(), CtlError> {
    let wrong = |error: io::Error| CtlError::failed(format!("{}: {error}", dir.display()));
    match fs::create_dir(dir) {
        Ok(()) => {
            let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = File::open(parent.unwrap_or(Path::new("."))).map_err(wrong)?;
            parent.sync_all().map_err(wrong)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            match fs::read_dir(dir).map_err(wrong)?.next() {
                None => Ok(()),
                Some(_) => Err(CtlError::failed(format!(
                    "{} is not empty: nothing is overwritten",
                    dir.display(),
                ))),
            }
        }
        Err(error) => Err(wrong(error)),
    }
}

fn node_entry(node: &crate::ctl::fleet::FleetNode) -> ManifestNode {
    ManifestNode {
        node: node.node.id.0,
        state: node.state.word().to_owned(),
        registry: node.node.registry.clone(),
        peers: node.node.peers.clone(),
        instance: node.node.instance.clone(),
        protocol: node.node.protocol,
    }
}

/// Copies a shard from whoever leads it, beginning again when that changes.
async fn copy(
    context: &Context,
    dir: &Path,
    shard: ShardId,
) -> Result<(ManifestShard, Tally), CtlError> {
    let file = format!("shard-{:04}.orrery", shard.0);
    let path = dir.join(&file);
    loop {
        let missing = match fetch(context, &path, shard).await? {
            Ok((meta, bytes, crc32, tally)) => {
                let last = meta.last.unwrap_or_default();
                let entry = ManifestShard {
                    shard: shard.0,
                    file,
                    bytes,
                    crc32,
                    log_index: last.index,
                    log_term: last.term,
                    records: tally.records,
                    next_seq: tally.next_seq,
                    routes: tally.routes,
                    listings: tally.listings,
                    comets: tally.comets,
                };
                return Ok((entry, tally));
            }
            Err(retryable) => format!("shard {shard}: {retryable}"),
        };
        // Our own half of a file, of a stream that broke.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        context.pause(missing).await?;
    }
}

type Copied = (SnapshotMeta, u64, u32, Tally);

/// Fetches a shard once. The inner error is worth another try.
async fn fetch(
    context: &Context,
    path: &Path,
    shard: ShardId,
) -> Result<Result<Copied, String>, CtlError> {
    let fleet = match Fleet::look(context).await {
        Ok(fleet) => fleet,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let leader = fleet.leader(shard).and_then(|(leader, _)| fleet.node(leader));
    let Some(leader) = leader else { return Ok(Err("it has no leader".to_owned())) };
    let address = &leader.node.registry;
    let mut stream = match context.client.backup(address, shard, context.deadline).await {
        Ok(stream) => stream,
        Err(error) => return retry_or_fail(address, error),
    };
    let (mut tally, mut sum) = (Tally::default(), crc32fast::Hasher::new());
    let (mut out, mut head, mut end) = (None, None, None);
    loop {
        let part = match stream.next().await {
            Ok(Some(part)) => part,
            Ok(None) => break,
            Err(error) => return retry_or_fail(address, error),
        };
        if let Some(meta) = part.meta {
            let mut file = FileWriter::create(path).map_err(|error| cannot(path, &error))?;
            file.record(&meta.encode_to_vec()).map_err(|error| cannot(path, &error))?;
            (out, head) = (Some(file), Some(meta));
        }
        let Some(file) = &mut out else { return Ok(Err("the backup has no beginning".to_owned())) };
        for record in part.records {
            tally.count(shard, &record).map_err(|what| malformed(shard, &what))?;
            let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
            sum.update(&length.to_le_bytes());
            sum.update(&record);
            file.record(&record).map_err(|error| cannot(path, &error))?;
        }
        end = part.end.or(end);
    }
    let (Some(file), Some(meta), Some((records, crc32))) = (out, head, end) else {
        return Ok(Err("the backup has no end".to_owned()));
    };
    if records != tally.records || crc32 != sum.finalize() {
        return Ok(Err("what arrived is not what was sent".to_owned()));
    }
    tally.check().map_err(|what| malformed(shard, &what))?;
    let (bytes, crc32) = file.finish().map_err(|error| cannot(path, &error))?;
    Ok(Ok((meta, bytes, crc32, tally)))
}

fn retry_or_fail<T>(address: &str, error: ClusterError) -> Result<Result<T, String>, CtlError> {
    match error {
        ClusterError::Unreachable { who, detail } => Ok(Err(format!("{who}: {detail}"))),
        // A copy changes nothing, so there is no outcome to be in doubt of.
        ClusterError::Unknown { detail } => Ok(Err(format!("{address} gave no copy: {detail}"))),
        error => Err(error.into()),
    }
}

fn cannot(path: &Path, error: &io::Error) -> CtlError {
    CtlError::failed(format!("writing {}: {error}", path.display()))
}

fn malformed(shard: ShardId, what: &str) -> CtlError {
    CtlError::failed(format!("shard {shard} sent what is no record of it: {what}"))
}
