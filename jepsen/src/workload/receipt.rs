//! Receipt: what the push API says became of a push, in the words of a history.

use judge::history::{Receipt, Report, Told};
use orrery_proto::push::{ConnectionReceipt, Outcome, PushResponse, Summary};

/// What the answer to a push for one address says. `conn_of` is the harness's number for a seq, where known.
///
/// Nothing is made better than it was told: what names no connection excuses any, and what a comet did not
/// answer for, or what was not looked up afresh, makes the receipt incomplete.
pub fn receipt(response: &PushResponse, conn_of: impl Fn(u64) -> Option<u64>) -> Receipt {
    let summary = response.summary.unwrap_or_default();
    let incomplete = response.stale || response.incomplete || summary.comets_unknown > 0;
    let mut receipt = Receipt { incomplete, ..Receipt::default() };
    match response.addresses.as_slice() {
        // Of rooms and of everybody there are sums only.
        [] => receipt.reports = sums(&summary),
        addresses => {
            receipt.offline = addresses.iter().all(|address| address.offline);
            let connections = addresses.iter().flat_map(|address| &address.connections);
            receipt.reports = connections.map(|one| report(one, &conn_of)).collect();
        }
    }
    receipt
}

fn report(connection: &ConnectionReceipt, conn_of: impl Fn(u64) -> Option<u64>) -> Report {
    let told = match connection.outcome() {
        Outcome::Queued => Told::Queued,
        Outcome::Written => Told::Written,
        Outcome::Filtered => Told::Filtered,
        Outcome::Dropped => Told::Dropped,
        Outcome::Gone => Told::Gone,
        Outcome::Unknown | Outcome::Unspecified => Told::Unknown,
    };
    let reason = Some(connection.reason.clone()).filter(|reason| !reason.is_empty());
    Report { told, conn: conn_of(connection.seq), reason }
}

fn sums(summary: &Summary) -> Vec<Report> {
    let of = [
        (Told::Queued, summary.queued),
        (Told::Written, summary.written),
        (Told::Filtered, summary.filtered),
        (Told::Dropped, summary.dropped),
        (Told::Gone, summary.gone),
        (Told::Unknown, summary.unknown),
    ];
    let report = |told| Report { told, conn: None, reason: None };
    of.iter().flat_map(|(told, count)| (0..*count).map(|_| report(*told))).collect()
}

#[cfg(test)]
mod tests {
    use orrery_proto::push::AddressReceipt;

    use super::*;

    fn connection(seq: u64, outcome: Outcome) -> ConnectionReceipt {
        ConnectionReceipt { seq, outcome: outcome.into(), ..ConnectionReceipt::default() }
    }

    #[test]
    fn connections_are_told_by_the_numbers_that_are_known() {
        let dropped = ConnectionReceipt {
            reason: "outbox_full".to_owned(),
            ..connection(8, Outcome::Dropped)
        };
        let address = AddressReceipt {
            id: "9000".to_owned(),
            offline: false,
            connections: vec![connection(7, Outcome::Written), dropped],
        };
        let response = PushResponse { addresses: vec![address], ..PushResponse::default() };
        let told = receipt(&response, |seq| (seq == 7).then_some(70));
        let reason = Some("outbox_full".to_owned());
        let written = Report { told: Told::Written, conn: Some(70), reason: None };
        let dropped = Report { told: Told::Dropped, conn: None, reason };
        assert_eq!(told.reports, [written, dropped]);
        assert!(!told.offline && !told.incomplete);
    }

    #[test]
    fn an_address_without_connections_is_offline() {
        let address = AddressReceipt { offline: true, ..AddressReceipt::default() };
        let response = PushResponse { addresses: vec![address], ..PushResponse::default() };
        assert!(receipt(&response, |_| None).offline);
    }

    #[test]
    fn what_was_not_answered_for_makes_it_incomplete() {
        let summary = Summary { queued: 1, filtered: 2, ..Summary::default() };
        let complete = PushResponse { summary: Some(summary), ..PushResponse::default() };
        let told = receipt(&complete, |_| None);
        assert!(!told.incomplete && !told.offline);
        let filtered = told.reports.iter().filter(|report| report.told == Told::Filtered);
        assert_eq!((told.reports.len(), filtered.count()), (3, 2));
        let unknown = Summary { comets_unknown: 1, ..summary };
        for response in [
            PushResponse { summary: Some(unknown), ..PushResponse::default() },
            PushResponse { incomplete: true, ..complete.clone() },
            PushResponse { stale: true, ..complete.clone() },
        ] {
            assert!(receipt(&response, |_| None).incomplete);
        }
    }
}
