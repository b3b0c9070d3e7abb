//! Compiles the contracts without a system protoc.

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "orrery/common/v1/common.proto",
        "orrery/registry/v1/command.proto",
        "orrery/registry/v1/registry.proto",
        "orrery/storage/v1/storage.proto",
        "orrery/peers/v1/peers.proto",
        "orrery/peers/v1/duties.proto",
        "orrery/cluster/v1/cluster.proto",
        "orrery/edge/v1/edge.proto",
        "orrery/delivery/v1/delivery.proto",
        "orrery/comet/v1/comet.proto",
        "orrery/push/v1/push.proto",
    ];
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(files, ["proto"])?;
    // Reflection serves the contracts themselves.
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".")
        // What is stored encodes alike on every replica and in every run, so maps have an order.
        .btree_map(".")
        .include_file("contracts.rs")
        .extern_path(".google.rpc.Status", "::tonic_types::Status")
        .compile_fds(descriptors)?;
    Ok(())
}
