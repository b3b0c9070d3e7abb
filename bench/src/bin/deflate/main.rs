//! `deflate`: what `permessage-deflate` (RFC 7692) would save on the wire, and what it would cost.
//!
//! JSON messages of several lengths are compressed as the extension has it, in two ways. *Alone*: each without what
//! came before, so that one compressed message can be shared by all who get it. *In context*: with the last 32 KiB
//! that the connection carried, which is what browsers offer; then each connection compresses for itself, and keeps
//! its state.

#![expect(clippy::print_stdout, reason = "its figures are what it is for")]

use std::fmt::Write as _;
use std::hint::black_box;

use anyhow::Context as _;
use clap::Parser;
use flate2::{Compress, Compression, FlushCompress};
use orrery_bench::clock::Clock;
use orrery_bench::resources::Resources;

/// The base two logarithm of the window, in bytes: the largest there is, and the default.
const WINDOW_BITS: u8 = 15;

/// What a flush ends with; the extension leaves it out.
const FLUSH_TAIL: usize = 4;

/// Bytes of output that are always enough for a message of the lengths here.
const ROOM: usize = 64 * 1024;

/// Compresses JSON messages, and tells what that saves and costs.
#[derive(Debug, Parser)]
struct Options {
    /// Lengths of the messages.
    #[arg(long, value_delimiter = ',', default_value = "64,256,1024,4096")]
    bytes: Vec<usize>,
    /// Messages of each length.
    #[arg(long, default_value_t = 20_000)]
    messages: usize,
    /// Connections whose state is held at once.
    #[arg(long, default_value_t = 500)]
    connections: usize,
    /// zlib's level.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=9))]
    level: u32,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let clock = Clock::start();
    println!("level {}, {} messages of each length\n", options.level, options.messages);
    println!("bytes     alone: of them  µs each   in context: of them  µs each");
    for &bytes in &options.bytes {
        let messages: Vec<String> =
            (0..options.messages as u64).map(|nth| message(nth, bytes)).collect();
        let alone = compressed(&clock, &options, &messages, true)?;
        let in_context = compressed(&clock, &options, &messages, false)?;
        println!(
            "{bytes:>5}{:>15.0} %{:>9.2}{:>19.0} %{:>9.2}",
            alone.percent, alone.micros_each, in_context.percent, in_context.micros_each
        );
    }
    println!("\na connection's state to compress in context: {:.0} KiB", state_kib(&options)?);
    Ok(())
}

/// What came of compressing.
struct Compressed {
    /// Bytes of the output, of a hundred of the input.
    percent: f64,
    micros_each: f64,
}

fn compressed(
    clock: &Clock,
    options: &Options,
    messages: &[String],
    alone: bool,
) -> anyhow::Result<Compressed> {
    let mut state = compress(options);
    let mut output = Vec::with_capacity(ROOM);
    let (mut before, mut after) = (0, 0);
    let begun_ns = clock.now_ns();
    for message in messages {
        if alone {
            state.reset();
        }
        output.clear();
        state.compress_vec(message.as_bytes(), &mut output, FlushCompress::Sync)?;
        before += message.len();
        after += black_box(&output).len() - FLUSH_TAIL;
    }
    let took_ns = clock.now_ns() - begun_ns;
    Ok(Compressed {
        percent: after as f64 / before as f64 * 100.0,
        micros_each: took_ns as f64 / 1e3 / messages.len() as f64,
    })
}

/// Growth of this process for each connection whose state is kept.
fn state_kib(options: &Options) -> anyhow::Result<f64> {
    let rss_mib = || Ok::<_, anyhow::Error>(Resources::own().context("no memory is told")?.rss_mib);
    let mut output = Vec::with_capacity(ROOM);
    let before = rss_mib()?;
    let mut states = Vec::with_capacity(options.connections);
    for connection in 0..options.connections as u64 {
        let mut state = compress(options);
        // As many bytes as fill the window: a state that was never used owns little.
        for nth in 0..64 {
            output.clear();
            let message = message(connection * 64 + nth, 1024);
            state.compress_vec(message.as_bytes(), &mut output, FlushCompress::Sync)?;
        }
        states.push(state);
    }
    let after = rss_mib()?;
    drop(black_box(states));
    Ok((after - before) * 1024.0 / options.connections as f64)
}

fn compress(options: &Options) -> Compress {
    Compress::new_with_window_bits(Compression::new(options.level), false, WINDOW_BITS)
}

/// A message as a chat would have it: the same names, other words.
fn message(nth: u64, bytes: usize) -> String {
    const WORDS: [&str; 16] = [
        "the", "goal", "was", "late", "again", "who", "plays", "tonight", "nobody", "saw", "that",
        "red", "card", "in", "minute", "ninety",
    ];
    let mut text =
        format!(r#"{{"type":"message","op":1000,"data":"{{\"from\":{},\"text\":\""#, nth * 7919);
    // A linear congruential generator: the words must be alike in every run, and differ from message to message.
    let mut state = nth.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    while text.len() + 6 < bytes {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let _ = write!(text, "{} ", WORDS[(state >> 60) as usize]);
    }
    text.push_str(r#"\"}"}"#);
    text
}
