//! Inputs: what is said to each target in its own words, mostly with something changed.

mod api;
mod comet;
mod device;
mod stored;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use api::{advice, push};
use comet::comet;
use device::{goim_frame, http, json, request, session, tls, token, websocket};
use stored::{catalogue, certificate, ends, header, messages, record, snapshot};

type Inputs = BoxedStrategy<Vec<u8>>;

/// How many inputs of which kind a target gets.
pub(crate) fn of(target: &str) -> (u32, Inputs) {
    match target {
        "certificate" => (1_000, certificate()),
        "contracts" => (1_500, changed(one_of(&messages()))),
        "files" => (500, prop_oneof![header(), ends(), catalogue(), snapshot()].boxed()),
        "goim_frame" => {
            (1_000, after_bytes(1, prop_oneof![8 => sentence(goim_frame()), 1 => token()].boxed()))
        }
        "http_request" => (1_000, prop_oneof![request(), http()].boxed()),
        "http_session" => (1_500, session()),
        "json_protocol" => {
            (1_000, after_bytes(1, prop_oneof![json(), websocket(0x81, json())].boxed()))
        }
        "log_record" => (500, changed(record())),
        "node_list" => (1_000, advice()),
        "push_api" => (1_000, push()),
        "sdk_device" => (1_500, comet()),
        "tls_device" => (150, tls()),
        unknown => panic!("{unknown} has no inputs"),
    }
}

/// One of these.
fn one_of<T: AsRef<[u8]>>(words: &[T]) -> Inputs {
    select(words.iter().map(|word| word.as_ref().to_vec()).collect::<Vec<_>>()).boxed()
}

/// Words between `|`.
fn words(list: &str) -> Vec<String> {
    list.split('|').map(str::to_owned).collect()
}

/// A JSON object of some of the fields between `|`, in any order.
fn object(some: &str, others: &str) -> Inputs {
    let field = select(words(&[some, others].concat()));
    vec(field, 0..5).prop_map(|fields| format!("{{{}}}", fields.join(",")).into_bytes()).boxed()
}

/// A byte: a small one mostly.
fn byte() -> BoxedStrategy<u8> {
    prop_oneof![6 => 0..=17_u8, 1 => any::<u8>()].boxed()
}

/// So many bytes, and what follows them.
fn after_bytes(count: usize, rest: Inputs) -> Inputs {
    (vec(byte(), count), rest).prop_map(|(bytes, rest)| [bytes, rest].concat()).boxed()
}

/// Words one after the other, now and then with a byte between them.
fn sentence(word: Inputs) -> Inputs {
    let word = prop_oneof![8 => word, 1 => vec(byte(), 1)];
    vec(word, 0..10).prop_map(|words| words.concat()).boxed()
}

/// As it is, or with a byte changed or added, without its end, or with a piece said twice.
fn changed(sound: Inputs) -> Inputs {
    let input = (sound, 0..7_u8, any::<(Index, Index)>(), byte());
    let change = |(mut bytes, change, (from, to), byte): (Vec<u8>, _, (Index, Index), _)| {
        if bytes.is_empty() {
            return bytes;
        }
        let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
        let piece = bytes[from.min(to)..to].to_vec();
        match change {
            0 => bytes[from] = byte,
            1 => bytes.insert(from, byte),
            2 => bytes.truncate(from),
            3 => drop(bytes.splice(to..to, piece)),
            _ => {}
        }
        bytes
    };
    input.prop_map(change).boxed()
}
