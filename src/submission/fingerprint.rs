//! A number for a text that never changes.

/// FNV-1a, 64 bits: the same on every machine and in every build, which the standard library's
/// hasher does not promise. Values of it are stored. No secret: anybody can make two texts alike.
pub fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the reference: <http://www.isthe.com/chongo/tech/comp/fnv/>.
    #[test]
    fn values_are_those_of_the_reference() {
        assert_eq!(fingerprint(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fingerprint("foobar"), 0x8594_4171_f739_67e8);
    }
}
