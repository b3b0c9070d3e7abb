//! `orrery ctl backup verify`: reads a backup to its end.

use std::io;
use std::path::{Component, Path};

use orrery_model::ShardId;
use orrery_proto::storage::SnapshotMeta;
use prost::Message as _;
use serde_json::json;

use super::file::FileReader;
use super::manifest::{Manifest, ManifestShard};
use super::restores::{Restore, Restores};
use super::shard::Tally;
use crate::ctl::error::CtlError;
use crate::ctl::print::Output;

/// Says whether a backup is whole.
pub(in crate::ctl) fn verify(dir: &Path) -> Result<Output, CtlError> {
    let (manifest, restores) = (read_whole(dir)?, Restores::read(dir)?);
    let restores: Vec<_> = restores.iter().collect();
    let routes: u64 = manifest.shards.iter().map(|shard| shard.routes).sum();
    let mut text = format!(
        "{} is whole: {} shards with {routes} routes of cluster {}\n",
        dir.display(),
        manifest.shards.len(),
        manifest.cluster_id,
    );
    for Restore { generation, cluster_id, .. } in &restores {
        text += &format!("restore {generation} is cluster {cluster_id}\n");
    }
    let json = json!({ "dir": dir, "whole": true, "manifest": manifest, "restores": restores });
    Ok(Output::new(text, json))
}

/// Reads all of a backup and returns its manifest.
///
/// # Errors
/// What is missing or damaged first.
pub(super) fn read_whole(dir: &Path) -> Result<Manifest, CtlError> {
    let manifest = Manifest::read(dir)?;
    for shard in &manifest.shards {
        let tally = check(dir, shard).map_err(|what| {
            CtlError::failed(format!("{}: {what}", dir.join(&shard.file).display()))
        })?;
        if shard.shard == ShardId::CONTROL.0 && tally.next_incarnation != manifest.next_incarnation
        {
            return Err(CtlError::failed(format!(
                "the manifest says that incarnation {} is next, the control shard {}",
                manifest.next_incarnation, tally.next_incarnation,
            )));
        }
    }
    Ok(manifest)
}

fn check(dir: &Path, shard: &ManifestShard) -> Result<Tally, String> {
    let text = |error: io::Error| error.to_string();
    let mut parts = Path::new(&shard.file).components();
    if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
        return Err("the manifest names a file outside of the folder".to_owned());
    }
    let mut file = FileReader::open(&dir.join(&shard.file)).map_err(text)?;
    let meta = file.record().map_err(text)?.ok_or("it ends before it begins")?;
    let mut tally = Tally::default();
    // What does not decode is damage; the checksum would only say so later.
    let meta = SnapshotMeta::decode(&*meta).map_err(|error| error.to_string())?;
    while let Some(record) = file.record().map_err(text)? {
        tally.count(ShardId(shard.shard), &record)?;
    }
    tally.check()?;
    if file.crc32() != shard.crc32 {
        return Err("its checksum does not match".to_owned());
    }
    let last = meta.last.unwrap_or_default();
    let found = (meta.shard, last.index, last.term, tally.records, tally.next_seq, tally.routes);
    let told =
        (shard.shard, shard.log_index, shard.log_term, shard.records, shard.next_seq, shard.routes);
    match found == told {
        true => Ok(tally),
        false => Err("it is not the file that the manifest describes".to_owned()),
    }
}
