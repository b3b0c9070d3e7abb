//! Admin: what a process says on its admin port.

use anyhow::{Context, bail};
use orrery_host::Host;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::limits::{ADMIN_ANSWER_BYTES_MAX, ADMIN_TIMEOUT};

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP's status code.
    pub status: u16,
    /// What was said.
    pub body: String,
}

/// Asks the admin port at an address (`host:port`).
///
/// # Errors
/// When it does not answer in time, or in another language than HTTP.
pub async fn get(host: &Host, address: &str, path: &str) -> anyhow::Result<Answer> {
    let ask = async {
        let mut stream = host.net.connect(address).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(ADMIN_ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = timeout(ADMIN_TIMEOUT, ask).await.context("no answer in time")??;
    parse(&answer)
}

/// The sum of a metric over all its labels.
pub fn sum_of(metrics: &str, name: &str) -> Option<f64> {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = match rest.strip_prefix('{') {
            Some(labels) => labels.rsplit_once("} ")?.1,
            None => rest.strip_prefix(' ')?,
        };
        value.trim().parse::<f64>().ok()
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

fn parse(answer: &str) -> anyhow::Result<Answer> {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { bail!("no answer in HTTP") };
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.context("no status in the answer")?;
    Ok(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let answer = parse("HTTP/1.0 503 Service Unavailable\r\na: b\r\n\r\nnot ready\n").unwrap();
        assert_eq!(answer, Answer { status: 503, body: "not ready\n".to_owned() });
        assert!(parse("SSH-2.0").is_err());
    }

    #[test]
    fn a_metric_is_summed_over_its_labels_and_no_other_one() {
        let text =
            "# HELP a_b text\na_b{shard=\"1\"} 3\na_b{shard=\"2\"} 4\na_bc{x=\"1\"} 9\nplain 2\n";
        assert_eq!(sum_of(text, "a_b"), Some(7.0));
        assert_eq!(sum_of(text, "plain"), Some(2.0));
        assert_eq!(sum_of(text, "absent"), None);
    }
}
