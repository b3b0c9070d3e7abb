//! Table: the report as people and as programs read it.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use super::limits::{ROOM_PUSHES_PER_SECOND, USER_PUSHES_PER_SECOND};
use super::report::{Measured, Report};
use crate::edge::pushing::Pushing;
use crate::edge::report::{HEADER, row};
use crate::edge::server::usage::Cpu;

/// Prints one JSON object.
///
/// # Errors
/// When nobody can read it.
pub(super) fn print_json(report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, report)?;
    writeln!(out)
}

/// Prints a table.
///
/// # Errors
/// When nobody can read it.
pub(super) fn print(report: &Report) -> io::Result<()> {
    io::stdout().lock().write_all(text(report).as_bytes())
}

fn text(report: &Report) -> String {
    let mut text = format!("{}\nclient and server share the machine\n", report.machine);
    if let Some(cores) = report.others_cores {
        let _ = writeln!(text, "{cores:.2} cores were busy with something else");
    }
    text.push('\n');
    text += HEADER;
    text += &measured(&report.measured);
    if let Some(server) = &report.server {
        let _ = write!(
            text,
            "\nserver process: {:.1} s of processor time ({:.1} s in the kernel), {:.0} MiB at most\n",
            server.cpu_s(),
            server.kernel_s,
            server.rss_max_mib,
        );
    }
    text.push('\n');
    for bar in &report.bars {
        let _ = writeln!(text, "{bar}");
    }
    text
}

fn measured(measured: &Measured) -> String {
    let Measured { connects, users, quiet_rooms, room } = measured;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "\nconnects: {:.0}/s ({} devices, {} at a time{})",
        connects.per_second,
        connects.devices,
        connects.concurrency,
        cpu(&connects.cpu),
    );
    text += &row("connect, bound on disk", &connects.latency);

    let title = format!("users: {USER_PUSHES_PER_SECOND} pushes/s to {} users", users.users);
    text += &pushing(&title, &users.at_rate);
    let title = format!("users: as fast as {} callers get receipts", users.callers);
    text += &pushing(&title, &users.as_fast_as_answered);

    let _ = writeln!(text, "\nquiet rooms: {} first messages", quiet_rooms.rooms);
    text += &row("push to socket", &quiet_rooms.to_socket);

    let (members, room) = (room.members, &room.pushing);
    let _ = writeln!(
        text,
        "\nroom of {members}: {ROOM_PUSHES_PER_SECOND} pushes/s wanted, {:.0}/s kept, {:.0} deliveries/s{}",
        room.per_second,
        room.deliveries_per_second,
        cpu(&room.cpu),
    );
    if let Some(each) = room.deliveries_per_server_cpu_s {
        let seconds = 1e6 / each;
        let _ =
            writeln!(text, "  server: {seconds:.2} s of processor time for a million deliveries");
    }
    let not_delivered = room.told.not_delivered();
    if not_delivered > 0 || room.broken > 0 {
        let _ = writeln!(
            text,
            "  receipts admit {not_delivered} not delivered; {} connections broke",
            room.broken
        );
    }
    text += &row("push to socket", &room.to_socket);
    text += &row("push to receipt", &room.to_receipt);
    text += &row("client late by", &room.client_late);
    text
}

fn pushing(title: &str, pushing: &Pushing) -> String {
    let Pushing { per_second, arrivals, told, .. } = pushing;
    let not_delivered = told.not_delivered();
    let mut text = format!(
        "\n{title}: {per_second:.0}/s, {} of {} arrived",
        arrivals.arrived, arrivals.expected
    );
    if not_delivered > 0 {
        let _ = write!(text, " (receipts admit {not_delivered} not delivered)");
    }
    let _ = writeln!(text, "{}", cpu(&pushing.cpu));
    text += &row("push to socket", &pushing.to_socket);
    text += &row("push to receipt", &pushing.to_receipt);
    text + &row("client late by", &pushing.client_late)
}

fn cpu(cpu: &Cpu) -> String {
    match (cpu.server_s, cpu.client_s) {
        (Some(server), Some(client)) => format!("; cpu {server:.1} s server, {client:.1} s client"),
        (None, Some(client)) => format!("; cpu {client:.1} s client"),
        _ => String::new(),
    }
}
