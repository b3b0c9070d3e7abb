//! Hostile bytes on goim's protocol: no panic, the same meaning in any cut, never more than was sent.

use orrery_comet_core::goim_message::Frames;
use orrery_comet_core::{Accepts, Action, Dialect, Frame, Input, Session, Token};

use crate::decoded::decoded;

/// Holds for any bytes, or panics.
pub fn check(data: &[u8]) {
    // The first byte chooses where to cut.
    let Some((&cut, bytes)) = data.split_first() else { return };
    for dialect in [Dialect::Tcp, Dialect::WebSocket] {
        let whole = decoded(dialect, bytes, bytes.len().max(1));
        assert_eq!(decoded(dialect, bytes, usize::from(cut).max(1)), whole);
        converse(dialect, whole.0);
    }
    let frames = Frames::from_device(bytes.to_vec().into());
    let yielded: usize = frames.flatten().map(|frame| frame.encoded_len()).sum();
    assert!(yielded <= bytes.len());
    let _ = Token::parse(bytes);
}

/// Hands the inputs to a session that is past its authentication.
fn converse(dialect: Dialect, inputs: Vec<Input>) {
    let mut session = Session::new(dialect, 1);
    let auth = Input::Frame(Frame { op: 7, ..Frame::default() });
    assert!(matches!(session.handle_input(auth, 0), Action::Authenticate { .. }));
    let key = "key".try_into().expect("a good id");
    let established = orrery_comet_core::Established {
        user: None,
        key: &key,
        seq: orrery_model::Seq(1),
        heartbeat_ms: 1,
        heartbeat_max_ms: 2,
    };
    assert!(session.handle_established(&established, Accepts::default(), 0).is_some());
    for input in inputs {
        match session.handle_input(input, 1) {
            Action::Heartbeat(answer) => drop(answer.with_count(-1)),
            Action::ChangeRoom { answer, .. } => drop(answer.done()),
            _ => {}
        }
    }
}
