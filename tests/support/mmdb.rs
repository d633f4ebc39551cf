//! Writes mmdb files (MaxMind DB File Format Specification 2.0), for tests to read.

use std::collections::HashMap;
use std::net::IpAddr;

/// A value of the data section.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Map(Vec<(&'static str, Self)>),
    Array(Vec<Self>),
    Text(String),
    Double(f64),
    Float(f32),
    Short(u16),
    Unsigned(u32),
    Long(u64),
}

/// A file in the making.
pub(crate) struct Writer {
    bits: u8,
    record_size: u16,
    database_type: &'static str,
    nodes: Vec<[Record; 2]>,
    data: Vec<u8>,
    places: HashMap<Vec<u8>, u32>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Record {
    Nothing,
    Node(u32),
    Data(u32),
}

impl Writer {
    /// `ip_version` 4 or 6; in a file for 6, IPv4 networks go under ::/96.
    pub(crate) fn new(ip_version: u8, record_size: u16, database_type: &'static str) -> Self {
        let bits = if ip_version == 4 { 32 } else { 128 };
        let nodes = vec![[Record::Nothing; 2]];
        Self { bits, record_size, database_type, nodes, data: Vec::new(), places: HashMap::new() }
    }

    /// Puts a value into the data section, once; gives what to call it by.
    pub(crate) fn store(&mut self, value: &Value) -> u32 {
        let mut bytes = Vec::new();
        value.write(&mut bytes);
        let next = self.data.len() as u32;
        *self.places.entry(bytes).or_insert_with_key(|bytes| {
            self.data.extend(bytes);
            next
        })
    }

    /// Gives a network a stored value. Longer networks must come after those around them.
    pub(crate) fn put(&mut self, network: IpAddr, length: u8, stored: u32) {
        self.set(network, length, Record::Data(stored));
    }

    /// Shows a network's subtree a second time, as files for both families do for IPv4.
    pub(crate) fn alias(&mut self, network: IpAddr, length: u8) {
        let mut node = 0;
        for _ in 0..96 {
            let Record::Node(next) = self.nodes[node as usize][0] else { panic!("no IPv4 part") };
            node = next;
        }
        self.set(network, length, Record::Node(node));
    }

    fn set(&mut self, network: IpAddr, length: u8, record: Record) {
        let (address, length) = match network {
            IpAddr::V4(ip) if self.bits == 32 => (u128::from(ip.to_bits()) << 96, length),
            IpAddr::V4(ip) => (u128::from(ip.to_bits()), length + 96),
            IpAddr::V6(ip) => (ip.to_bits(), length),
        };
        let side = |depth: u8| ((address >> (127 - depth)) & 1) as usize;
        let mut node = 0;
        for depth in 0..length - 1 {
            node = match self.nodes[node][side(depth)] {
                Record::Node(next) => next as usize,
                above => {
                    self.nodes.push([above; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][side(depth)] = Record::Node(next as u32);
                    next
                }
            };
        }
        self.nodes[node][side(length - 1)] = record;
    }

    /// The whole file.
    pub(crate) fn finish(self) -> Vec<u8> {
        let count = self.nodes.len() as u32;
        let number = |record| match record {
            Record::Nothing => count,
            Record::Node(node) => node,
            Record::Data(place) => count + 16 + place,
        };
        let mut file = Vec::with_capacity(self.nodes.len() * 8 + self.data.len() + 1000);
        for [left, right] in &self.nodes {
            let (l, r) = (number(*left).to_be_bytes(), number(*right).to_be_bytes());
            match self.record_size {
                24 => file.extend([l[1], l[2], l[3], r[1], r[2], r[3]]),
                28 => file.extend([l[1], l[2], l[3], l[0] << 4 | r[0], r[1], r[2], r[3]]),
                _ => file.extend([l, r].concat()),
            }
        }
        file.extend([0; 16]);
        file.extend(&self.data);
        file.extend(b"\xab\xcd\xefMaxMind.com");
        let text = |text: &str| Value::Text(text.to_owned());
        Value::Map(vec![
            ("binary_format_major_version", Value::Short(2)),
            ("binary_format_minor_version", Value::Short(0)),
            ("build_epoch", Value::Long(1_780_000_000)),
            ("database_type", text(self.database_type)),
            ("description", Value::Map(vec![("en", text("made by a test"))])),
            ("ip_version", Value::Short(if self.bits == 32 { 4 } else { 6 })),
            ("languages", Value::Array(vec![text("en")])),
            ("node_count", Value::Unsigned(count)),
            ("record_size", Value::Short(self.record_size)),
        ])
        .write(&mut file);
        file
    }
}

impl Value {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Map(entries) => {
                control(out, 7, entries.len());
                for (key, value) in entries {
                    Self::Text((*key).to_owned()).write(out);
                    value.write(out);
                }
            }
            Self::Array(items) => {
                control(out, 11, items.len());
                items.iter().for_each(|item| item.write(out));
            }
            Self::Text(text) => {
                control(out, 2, text.len());
                out.extend(text.as_bytes());
            }
            Self::Double(number) => {
                control(out, 3, 8);
                out.extend(number.to_be_bytes());
            }
            Self::Float(number) => {
                control(out, 15, 4);
                out.extend(number.to_be_bytes());
            }
            Self::Short(number) => {
                control(out, 5, 2);
                out.extend(number.to_be_bytes());
            }
            Self::Long(number) => {
                control(out, 9, 8);
                out.extend(number.to_be_bytes());
            }
            Self::Unsigned(number) => {
                control(out, 6, 4);
                out.extend(number.to_be_bytes());
            }
        }
    }
}

/// Type and size; types above 7 take a second byte.
fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
    let (small, rest) = if size < 29 { (size as u8, None) } else { (29, Some((size - 29) as u8)) };
    assert!(size < 29 + 256, "longer values are not needed here");
    if kind > 7 {
        out.extend([small, kind - 7]);
    } else {
        out.push(kind << 5 | small);
    }
    out.extend(rest);
}
