//! Ranges of addresses, as people write them: `10.0.0.7`, `10.1.0.0/16`, `fd00::/8`.

use std::{fmt, net::IpAddr};

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    /// Bits that all of its addresses have in common.
    bits: u32,
}

impl Network {
    /// An address, or the first of a range with the number of bits that all have in common.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a range of addresses: write one as \"10.0.0.7\", \"10.1.0.0/16\" or \"fd00::/8\"");
        let (first, bits) = text.split_once('/').map_or((text, None), |(first, bits)| (first, Some(bits)));
        let first: IpAddr = first.parse().map_err(|_| wrong())?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits: u32 = match bits {
            None => most,
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().map_err(|_| wrong())?,
            Some(_) => return Err(wrong()),
        };
        if bits > most {
            return Err(wrong());
        }
        if first != first.to_canonical() {
            return Err(format!("{text:?} is an address of IPv4 in one of IPv6: write it as one of IPv4, {}", first.to_canonical()));
        }
        if bits == 0 {
            return Err(format!("{text:?} is every address there is"));
        }
        let network = Self { first, bits };
        let begins = network.begin();
        if begins != first {
            return Err(format!("{text:?} does not begin its range: that is \"{begins}/{bits}\", or \"{first}\" alone"));
        }
        Ok(network)
    }

    /// Whether an address is one of it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(other)) => (first.to_bits() ^ other.to_bits()).leading_zeros() >= self.bits,
            (IpAddr::V6(first), IpAddr::V6(other)) => (first.to_bits() ^ other.to_bits()).leading_zeros() >= self.bits,
            _ => false,
        }
    }

    /// Its first address.
    fn begin(&self) -> IpAddr {
        match self.first {
            IpAddr::V4(first) => IpAddr::V4((first.to_bits() & u32::MAX.checked_shl(32 - self.bits).unwrap_or(0)).into()),
            IpAddr::V6(first) => IpAddr::V6((first.to_bits() & u128::MAX.checked_shl(128 - self.bits).unwrap_or(0)).into()),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == if self.first.is_ipv4() { 32 } else { 128 } {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}/{}", self.first, self.bits)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_the_addresses_that_begin_as_it_does() {
        for (range, inside, outside) in [
            ("10.0.0.7", &["10.0.0.7", "::ffff:10.0.0.7"][..], &["10.0.0.8", "::10.0.0.7", "fd00::7"][..]),
            ("10.1.0.0/16", &["10.1.0.0", "10.1.255.255"], &["10.0.255.255", "10.2.0.0"]),
            ("128.0.0.0/1", &["255.0.0.1"], &["127.255.255.255", "8000::"]),
            ("fd00::/8", &["fdff::1"], &["fe00::", "10.0.0.1"]),
            ("::1", &["::1"], &["::2", "127.0.0.1"]),
            ("2001:db8::/127", &["2001:db8::1"], &["2001:db8::2"]),
        ] {
            let network = Network::parse(range).unwrap();
            assert_eq!(network.to_string(), range);
            for address in inside {
                assert!(network.contains(address.parse().unwrap()), "{range} {address}");
            }
            for address in outside {
                assert!(!network.contains(address.parse().unwrap()), "{range} {address}");
            }
        }
        assert_eq!(Network::parse("10.0.0.7/32").unwrap().to_string(), "10.0.0.7");
    }

    #[test]
    fn what_is_no_range_is_told() {
        for wrong in [
            "",
            "*",
            "localhost",
            "10.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "::/129",
            "10.0.0.0:80",
            "/8",
        ] {
            assert!(Network::parse(wrong).unwrap_err().contains("is not a range"), "{wrong}");
        }
        assert!(Network::parse("10.0.0.7/8").unwrap_err().contains("\"10.0.0.0/8\""));
        assert!(Network::parse("::ffff:10.0.0.0/104").unwrap_err().contains("of IPv4"));
        for all in ["0.0.0.0/0", "::/0"] {
            assert!(Network::parse(all).unwrap_err().contains("every address"), "{all}");
        }
    }
}
