//! Certificates: replaced while connections live, and only by better ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use orrery_host::Host;
use orrery_tls::{
    Acceptor, CertificateError, Certificates, Files, LoadError, Look, Speaks, Warning, watch,
};
use rcgen::{BasicConstraints, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::world::{
    Folder, Manners, NAME, NOW_SECONDS, Server, SetClock, TLS12, TLS13, client, pair, pair_of,
};

const DAY: u64 = 24 * 60 * 60;

fn look(server: &Server) -> Look {
    let mut looks = server.certificates.reload();
    assert_eq!(looks.len(), 1);
    looks.remove(0).1
}

#[tokio::test]
async fn new_connections_see_the_new_certificate_and_old_ones_go_on() {
    let server = Server::new(Speaks::Http);
    for version in [TLS12, TLS13] {
        let before = pair(NAME, 2020, 2060);
        server.folder.write("comet", &before.certificate, &before.key);
        assert_eq!(look(&server), Look::Replaced);
        let old = client(&before.certificate, version, &[]);
        let (mut device, mut comet) = server.connect(&old, Manners::GOOD).await;

        let after = pair(NAME, 2020, 2050);
        server.folder.write("comet", &after.certificate, &after.key);
        assert_eq!(look(&server), Look::Replaced);
        assert_eq!(look(&server), Look::Unchanged);
        device.write_all(b"x").await.unwrap();
        assert_eq!(comet.read_u8().await.unwrap(), b'x');
        let new = client(&after.certificate, version, &[]);
        server.connect(&new, Manners::GOOD).await;
        let stranger = client(&before.certificate, version, &[]);
        assert!(server.try_connect(&stranger, Manners::GOOD).await.0.is_err());
    }
}

#[tokio::test]
async fn a_pair_that_cannot_be_used_is_refused_and_the_old_one_is_kept() {
    let server = Server::new(Speaks::Http);
    let (good, other) = (pair(NAME, 2020, 2060), pair(NAME, 2020, 2060));
    let expired = pair(NAME, 2020, 2025);
    let early = pair(NAME, 2027, 2060);
    for (certificate, key, reason) in [
        (&good.certificate[..], &other.key[..], "the key is not that of the certificate"),
        (&expired.certificate, &expired.key, "the certificate expired 31536000 s ago"),
        (&early.certificate, &early.key, "the certificate is valid only in 31536000 s"),
        ("", &good.key, "comet.pem is not PEM"),
        (&good.certificate, "nonsense", "comet.key is not PEM"),
        (&good.key, &good.key, "comet.pem is not PEM"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &good.key,
            "the certificate cannot be understood",
        ),
        (&"x".repeat(50_000), &good.key, "comet.pem has more than 49152 bytes"),
    ] {
        server.folder.write("comet", certificate, key);
        let Look::Refused(error) = look(&server) else { panic!("taken: {reason}") };
        assert!(error.to_string().contains(reason), "{error}, not {reason}");
        assert_eq!(look(&server), Look::Unchanged, "said once: {reason}");
        server.connect(&server.client(TLS13), Manners::GOOD).await;
    }
    server.folder.write("comet", &good.certificate, &good.key);
    std::fs::remove_file(server.folder.files("comet").key).unwrap();
    let Look::Refused(CertificateError::Read { .. }) = look(&server) else { panic!("not read") };
    assert_eq!(look(&server), Look::Unchanged);
    server.folder.write("comet", &good.certificate, &good.key);
    assert_eq!(look(&server), Look::Replaced);
    server.connect(&client(&good.certificate, TLS13, &[]), Manners::GOOD).await;
}

#[test]
fn a_pair_whose_time_has_not_come_is_taken_when_it_has() {
    let server = Server::new(Speaks::Http);
    let early = pair(NAME, 2027, 2060);
    server.folder.write("comet", &early.certificate, &early.key);
    assert!(matches!(look(&server), Look::Refused(CertificateError::NotYetValid { .. })));
    server.clock.set(NOW_SECONDS + 366 * DAY);
    assert_eq!(look(&server), Look::Replaced);
}

#[test]
fn the_end_of_a_certificate_is_told_and_warned_of() {
    let folder = Folder::new();
    let pair = pair(NAME, 2025, 2027);
    let files = folder.write("comet", &pair.certificate, &pair.key);
    let clock = SetClock::at(NOW_SECONDS);
    let certificates = Certificates::load(vec![files.clone()], clock.clone()).unwrap();
    let end = NOW_SECONDS + 365 * DAY;
    assert_eq!(certificates.expires_at(), end);
    assert!(certificates.warnings().is_empty());
    clock.set(end - 100 * DAY);
    let left_seconds = 100 * DAY as i64;
    assert_eq!(certificates.warnings(), [(&files, Warning::Ends { left_seconds })]);
    clock.set(end + 10);
    let expired = Warning::Ends { left_seconds: -10 };
    assert_eq!(certificates.warnings(), [(&files, expired)]);
    assert_eq!(expired.to_string(), "the certificate expired 10 s ago and was not replaced");
}

#[tokio::test]
async fn the_certificate_of_a_ca_is_warned_of_since_not_everybody_takes_it() {
    let folder = Folder::new();
    let shown = |name, is_ca| {
        let pair = pair_of(&KeyPair::generate().unwrap(), is_ca, NAME, 2020, 2060);
        (folder.write(name, &pair.certificate, &pair.key), pair)
    };
    let (own, pair) = shown("ca", IsCa::Ca(BasicConstraints::Unconstrained));
    let (other, _) = shown("other", IsCa::ExplicitNoCa);
    let files = vec![own.clone(), other];
    let certificates = Arc::new(Certificates::load(files, SetClock::at(NOW_SECONDS)).unwrap());
    assert_eq!(certificates.warnings(), [(&own, Warning::IsCa)]);
    let acceptor = Acceptor::new(certificates, Speaks::Http).unwrap();
    let server = Server { acceptor, ..Server::new(Speaks::Http) };
    let device = client(&pair.certificate, TLS13, &[]);
    let (refused, _) = server.try_connect(&device, Manners::GOOD).await;
    assert!(refused.unwrap_err().to_string().contains("CaUsedAsEndEntity"));
}

#[test]
fn files_that_could_not_be_read_for_a_while_are_not_new_afterwards() {
    let server = Server::new(Speaks::Http);
    let files = server.folder.files("comet");
    let (shown, new) = (&server.pair, pair(NAME, 2020, 2050));
    for _ in 0..2 {
        std::fs::remove_file(&files.key).unwrap();
        assert!(matches!(look(&server), Look::Refused(CertificateError::Read { .. })));
        server.folder.write("comet", &shown.certificate, &shown.key);
        assert_eq!(look(&server), Look::Unchanged);
    }
    // The same where they were read, and only half of them was new.
    server.folder.write("comet", &shown.certificate, &new.key);
    assert_eq!(look(&server), Look::Refused(CertificateError::Mismatch));
    server.folder.write("comet", &shown.certificate, &shown.key);
    assert_eq!(look(&server), Look::Unchanged);
    server.folder.write("comet", &new.certificate, &new.key);
    assert_eq!(look(&server), Look::Replaced);
}

#[test]
fn a_server_does_not_start_with_a_pair_that_cannot_serve() {
    let folder = Folder::new();
    let (one, other) = (pair(NAME, 2020, 2060), pair(NAME, 2020, 2060));
    let load = |files: Vec<Files>| Certificates::load(files, SetClock::at(NOW_SECONDS));
    let mismatched = folder.write("mismatched", &one.certificate, &other.key);
    let expired = pair(NAME, 2020, 2025);
    let expired = folder.write("expired", &expired.certificate, &expired.key);
    let early = pair(NAME, 2027, 2060);
    let early = folder.write("early", &early.certificate, &early.key);
    let good = folder.write("good", &one.certificate, &one.key);
    for (files, reason) in [
        (mismatched, "the key is not that of the certificate"),
        (folder.files("none"), "cannot read"),
        (expired, "the certificate expired 31536000 s ago"),
        (early, "the certificate is valid only in 31536000 s"),
    ] {
        let error = load(vec![good.clone(), files.clone()]).unwrap_err().to_string();
        let named = format!(
            "certificate {} with key {}: ",
            files.certificates.display(),
            files.key.display()
        );
        assert!(error.starts_with(&named) && error.contains(reason), "{error}");
    }
    assert!(matches!(load(vec![]), Err(LoadError::Count(0))));
    assert!(matches!(load(vec![good; 65]), Err(LoadError::Count(65))));
}

#[tokio::test]
async fn the_watch_finds_new_files_by_itself() {
    let server = Server::new(Speaks::Http);
    let after = pair(NAME, 2020, 2050);
    server.folder.write("comet", &after.certificate, &after.key);
    let new = client(&after.certificate, TLS13, &[]);
    let found = async {
        while server.try_connect(&new, Manners::GOOD).await.0.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let replaced = Arc::new(AtomicBool::new(false));
    let told = replaced.clone();
    let tell = Arc::new(move |look: &Look| {
        if *look == Look::Replaced {
            told.store(true, Ordering::Relaxed);
        }
    });
    let watch = watch(Arc::clone(&server.certificates), Host::system(), tell);
    tokio::select! {
        () = watch => panic!("it has no end"),
        found = timeout(Duration::from_secs(60), found) => found.expect("soon"),
    }
    assert!(replaced.load(Ordering::Relaxed));
}
