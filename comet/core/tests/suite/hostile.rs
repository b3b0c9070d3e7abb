//! Properties: round trips, claimed lengths, hostile bytes in any cut.

use bytes::Bytes;
use orrery_comet_core::goim_message::Frames;
use orrery_comet_core::json::{ClientMessage, ServerMessage};
use orrery_comet_core::stream::FrameStream;
use orrery_comet_core::{Decoder, Dialect, Encoded, Frame, Input, Token, Violation, ops};
use orrery_model::message::Message;
use proptest::prelude::*;

use crate::device::{Device, client_frame, raw_frame, unmasked_frame};

/// Everything a decoder says of bytes that arrive in these pieces, and how it ends.
fn decoded(dialect: Dialect, pieces: &[&[u8]]) -> (Vec<Input>, Option<Violation>) {
    let mut decoder = Decoder::new(dialect, 8192);
    let mut inputs = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.poll() {
                Ok(Some(input)) => inputs.push(input),
                Ok(None) => break,
                Err(violation) => return (inputs, Some(violation)),
            }
        }
    }
    (inputs, None)
}

/// Cuts bytes into pieces whose lengths repeat a pattern.
fn cut<'a>(mut bytes: &'a [u8], pattern: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for length in pattern.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at((*length).clamp(1, bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

fn any_dialect() -> impl Strategy<Value = Dialect> {
    prop_oneof![Just(Dialect::Tcp), Just(Dialect::WebSocket), Just(Dialect::Json)]
}

fn any_frame(body_max: usize) -> impl Strategy<Value = Frame> {
    let body = prop::collection::vec(any::<u8>(), 0..=body_max);
    (any::<i16>(), any::<i32>(), any::<i32>(), body).prop_map(|(version, op, seq, body)| Frame {
        version,
        op,
        seq,
        body: body.into(),
    })
}

/// Something like a goim frame: true lengths mostly, lies now and then.
fn frame_like() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => any_frame(64).prop_map(|frame| frame.encode().to_vec()),
        1 => (any::<i32>(), any::<i16>(), any::<i32>(), prop::collection::vec(any::<u8>(), 0..64))
            .prop_map(|(packet, header, op, rest)| raw_frame(packet, header, op, &rest)),
        1 => (-20i32..4200, any::<i32>(), prop::collection::vec(any::<u8>(), 0..64))
            .prop_map(|(packet, op, rest)| raw_frame(packet, 16, op, &rest)),
    ]
}

/// Something like a WebSocket frame around something like a message.
fn websocket_like() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        frame_like(),
        json_like().prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(frame_like(), 0..4).prop_map(|frames| frames.concat()),
    ];
    let first = prop_oneof![
        6 => prop::sample::select(vec![0x81u8, 0x82]),
        3 => prop::sample::select(vec![0x01u8, 0x02, 0x00, 0x80, 0x88, 0x89, 0x8a]),
        1 => any::<u8>(),
    ];
    (first, payload, prop::bool::weighted(0.9)).prop_map(|(first, payload, masked)| {
        if masked { client_frame(first, &payload) } else { unmasked_frame(first, &payload) }
    })
}

fn json_like() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "hello",
        "ping",
        "join",
        "leave",
        "message",
        "type",
        "rooms",
        "id",
        "op",
        "data",
        "user",
        "data_base64",
        "accepts",
        "labels",
        "x",
        "",
    ]);
    let value = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        word.clone().prop_map(|word| format!("\"{word}\"")),
        prop::collection::vec(word.clone(), 0..3)
            .prop_map(|words| serde_json::to_string(&words).unwrap()),
        Just("{\"a\":\"b\"}".to_owned()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    let field = (word, value).prop_map(|(name, value)| format!("\"{name}\":{value}"));
    let kind = prop::sample::select(vec!["hello", "ping", "join", "leave", "message"]);
    (kind, prop::collection::vec(field, 0..4)).prop_map(|(kind, fields)| {
        let kind = format!("\"type\":\"{kind}\"");
        format!("{{{}}}", [vec![kind], fields].concat().join(","))
    })
}

fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece =
        prop_oneof![frame_like(), websocket_like(), prop::collection::vec(any::<u8>(), 0..40),];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_frame_survives_the_wire(frame in any_frame(4096)) {
        let wire = frame.encode();
        prop_assert_eq!(wire.len(), frame.encoded_len());
        let claimed = i32::from_be_bytes(wire[..4].try_into().unwrap());
        prop_assert_eq!(usize::try_from(claimed).unwrap(), wire.len());
        let mut stream = FrameStream::from_device();
        stream.feed(&wire);
        prop_assert_eq!(stream.poll(), Ok(Some(frame.clone())));
        prop_assert_eq!(stream.poll(), Ok(None));
        let frames: Vec<_> = Frames::from_device(wire).collect();
        prop_assert_eq!(frames, vec![Ok(frame)]);
    }

    #[test]
    fn frames_survive_any_cut_of_the_stream(
        frames in prop::collection::vec(any_frame(300), 0..10),
        pattern in prop::collection::vec(1usize..50, 1..5),
    ) {
        let wire: Vec<u8> = frames.iter().flat_map(|frame| frame.encode()).collect();
        let (inputs, end) = decoded(Dialect::Tcp, &cut(&wire, &pattern));
        let expected: Vec<_> = frames.into_iter().map(Input::Frame).collect();
        prop_assert_eq!((inputs, end), (expected, None));
    }

    #[test]
    fn a_push_survives_each_wire(op in any::<i32>(), body in prop::collection::vec(any::<u8>(), 0..70_000)) {
        let message = Message { op, body: body.into() };
        let pushed = Encoded::new(message.clone());
        let plain = Frame { version: 1, op, seq: 0, body: message.body.clone() };
        let mut stream = FrameStream::from_comet();
        stream.feed(&pushed.tcp());
        prop_assert_eq!(stream.poll(), Ok(Some(plain.clone())));
        let outer: Vec<_> = Frames::from_comet(websocket_payload(&pushed.websocket())).collect();
        prop_assert_eq!(outer.len(), 1);
        let outer = outer[0].clone().unwrap();
        prop_assert_eq!((outer.version, outer.op, outer.seq), (1, ops::RAW, 0));
        let inner: Vec<_> = Frames::from_comet(outer.body).collect();
        prop_assert_eq!(inner, vec![Ok(plain)]);
        match ServerMessage::parse(&websocket_payload(&pushed.json())).unwrap() {
            ServerMessage::Message { op: said, payload } => {
                prop_assert_eq!((said, payload.body().unwrap()), (op, message.body));
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn hostile_bytes_mean_the_same_in_any_cut(
        dialect in any_dialect(),
        wire in hostile_bytes(),
        pattern in prop::collection::vec(1usize..60, 1..6),
    ) {
        let whole = decoded(dialect, &[&wire]);
        prop_assert_eq!(&decoded(dialect, &cut(&wire, &pattern)), &whole);
        prop_assert_eq!(&decoded(dialect, &cut(&wire, &[1])), &whole);
    }

    #[test]
    fn hostile_bytes_never_panic_a_session(
        dialect in any_dialect(),
        ready in any::<bool>(),
        wire in hostile_bytes(),
    ) {
        let mut device = if ready { Device::ready(dialect) } else { Device::new(dialect) };
        device.feed(&wire);
    }

    #[test]
    fn hostile_texts_never_panic_a_parser(bytes in prop::collection::vec(any::<u8>(), 0..300), json in json_like()) {
        for text in [&bytes[..], json.as_bytes()] {
            let _ = Token::parse(text);
            let _ = ops::parse_list(text);
            let _ = ServerMessage::parse(text);
            if let Ok(message) = ClientMessage::parse(text) {
                prop_assert_eq!(ClientMessage::parse(message.to_text().as_bytes()).unwrap(), message);
            }
        }
    }

    #[test]
    fn a_message_never_yields_more_than_it_holds(message in hostile_bytes()) {
        let held = message.len();
        let yielded: usize = Frames::from_device(message.into())
            .filter_map(Result::ok)
            .map(|frame| frame.encoded_len())
            .sum();
        prop_assert!(yielded <= held);
    }
}

/// The payload of a server's frame.
fn websocket_payload(frame: &Bytes) -> Bytes {
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    frame.slice(header..)
}
