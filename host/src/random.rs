//! Randomness: unpredictable in production, seeded in simulation.

/// Draws random bytes.
pub trait Random: Send + Sync {
    /// Fills the buffer.
    fn fill(&self, bytes: &mut [u8]);

    /// A random number.
    fn number(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A random number below `bound`; 0 when `bound` is 0.
    fn below(&self, bound: u64) -> u64 {
        // The bias of a plain remainder is below 2^-32 for the small bounds used here.
        self.number().checked_rem(bound).unwrap_or(0)
    }

    /// A random UUID (version 4) in its 36-character text form.
    fn uuid(&self) -> String {
        let mut b = [0; 16];
        self.fill(&mut b);
        b[6] = (b[6] & 0x0f) | 0x40;
        b[8] = (b[8] & 0x3f) | 0x80;
        let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}
