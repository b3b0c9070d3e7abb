//! Kind: the two kinds of shards, by what their logs hold and answer.

use std::sync::Arc;

use orrery_model::command::{Batch, Command, Reply};
use orrery_model::control::{ControlBatch, ControlCommand, ControlReply};
use orrery_proto::registry as wire;
use prost::Message as _;

use crate::raft::types::{Payload, Replies};

/// The two kinds of shards: what their logs hold and answer.
pub(crate) trait Kind: Send + Sync + 'static {
    /// A command.
    type Command: Send + 'static;
    /// Its reply.
    type Reply: Send + 'static;

    /// An entry of these commands.
    fn payload(elapsed_ms: u64, wall_ms: u64, commands: Vec<Self::Command>) -> Payload;
    /// The replies of such an entry.
    fn replies(replies: Replies) -> Option<Vec<Self::Reply>>;
    /// Encoded length of a command.
    fn bytes(command: &Self::Command) -> usize;
    /// A command's kind, in a word.
    fn word(command: &Self::Command) -> &'static str;
    /// The version of the protocol that every replica must understand before a command is proposed.
    fn protocol(command: &Self::Command) -> u32;
    /// Takes out of a command what replicas that speak no more than `protocol` do not understand, where it
    /// can go without.
    fn adapt(command: &mut Self::Command, protocol: u32);
}

/// A data shard: routes.
pub(crate) struct Data;

/// The control shard: the cluster.
pub(crate) struct Control;

impl Kind for Data {
    type Command = Command;
    type Reply = Reply;

    fn payload(elapsed_ms: u64, wall_ms: u64, commands: Vec<Command>) -> Payload {
        Payload::Data(Arc::new(Batch { elapsed_ms, wall_ms, commands }))
    }

    fn replies(replies: Replies) -> Option<Vec<Reply>> {
        match replies {
            Replies::Data(replies) => Some(replies),
            _ => None,
        }
    }

    fn bytes(command: &Command) -> usize {
        wire::Command::from(command).encoded_len()
    }

    fn word(command: &Command) -> &'static str {
        match command {
            Command::Bind(_) => "bind",
            Command::Unbind(_) => "unbind",
            Command::SetRooms(_) => "set_rooms",
            Command::BindRoom(_) => "bind_room",
            Command::UnbindRoom(_) => "unbind_room",
            Command::ExpireComet(_) => "expire_comet",
            Command::Open(_) => "open",
        }
    }

    fn protocol(command: &Command) -> u32 {
        command.protocol()
    }

    fn adapt(command: &mut Command, protocol: u32) {
        // A policy then takes the connection for a new one, as the older build does.
        if command.protocol() > protocol
            && let Command::Bind(bind) = command
        {
            bind.rank = None;
        }
    }
}

impl Kind for Control {
    type Command = ControlCommand;
    type Reply = ControlReply;

    fn payload(elapsed_ms: u64, wall_ms: u64, commands: Vec<ControlCommand>) -> Payload {
        Payload::Control(Arc::new(ControlBatch { elapsed_ms, wall_ms, commands }))
    }

    fn replies(replies: Replies) -> Option<Vec<ControlReply>> {
        match replies {
            Replies::Control(replies) => Some(replies),
            _ => None,
        }
    }

    fn bytes(command: &ControlCommand) -> usize {
        wire::ControlCommand::from(command).encoded_len()
    }

    fn word(command: &ControlCommand) -> &'static str {
        match command {
            ControlCommand::Found(_) => "found",
            ControlCommand::Attach(_) => "attach",
            ControlCommand::Expire(_) => "expire",
            ControlCommand::Trim { .. } => "trim",
            ControlCommand::AddNode(_) => "add_node",
            ControlCommand::UpdateNode(_) => "update_node",
            ControlCommand::SetNodeState { .. } => "set_node_state",
            ControlCommand::Place(_) => "place",
            ControlCommand::Placed(_) => "placed",
        }
    }

    fn protocol(command: &ControlCommand) -> u32 {
        command.protocol()
    }

    fn adapt(command: &mut ControlCommand, protocol: u32) {
        // All then take it for an answer to whatever is wanted, as the older build does.
        if command.protocol() > protocol
            && let ControlCommand::Placed(placed) = command
        {
            placed.version = None;
        }
    }
}
