//! Exact counts of what a stack has done (X7). Plain numbers: one owner, so nothing can disagree.

/// The counters of one stack since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Requests received that were parsed and not refused as malformed.
    pub requests_received: u64,
    /// Responses received that were parsed.
    pub responses_received: u64,
    /// Requests sent, retransmissions apart.
    pub requests_sent: u64,
    /// Responses sent, retransmissions apart.
    pub responses_sent: u64,
    /// Messages sent once more.
    pub retransmissions: u64,
    /// Messages that were no SIP, or of which a user agent must not take notice.
    pub malformed: u64,
    /// Client transactions that ended without a final response.
    pub timeouts: u64,
    /// Connections that became ready.
    pub connections_made: u64,
    /// Connections that could not be made.
    pub connections_failed: u64,
    /// Connections closed, by whichever side.
    pub connections_closed: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Bytes taken by the embedder.
    pub bytes_sent: u64,
    /// Refusals because a limit was reached.
    pub limit_refusals: u64,
}
