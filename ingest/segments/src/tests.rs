//! The bytes against what a disk does to them: cuts, holes, stale bytes, bits.

use crate::block::{self, HEADER, Next, SegmentHeader, Wanted};
use crate::head::{self, Head, HeadRead};
use crate::recover::{Tail, judge};
use crate::scan::{Scan, scan};
use facts::stream::Incarnation;
use std::convert::Infallible;

const LOG: Incarnation = Incarnation([7; 16]);

/// A segment of so many blocks, and where each ends.
fn written(blocks: u64) -> (Vec<u8>, Vec<usize>) {
    let id = block::log_id(LOG);
    let mut chain = block::chain_start(LOG);
    let header = SegmentHeader { base: 0, prev_base: u64::MAX, chain, incarnation: LOG, partition: 0 };
    let (mut bytes, mut ends) = (header.encode().to_vec(), vec![HEADER]);
    for base in 0..blocks {
        let mut one = vec![0; HEADER];
        block::put_record(&mut one, b"key", &[base as u8 + 1; 90], 5);
        let wanted = Wanted { flags: 0, log_id: id, base, count: 1, written_ms: 5 };
        chain = block::seal(&mut one, wanted, &chain).chain;
        bytes.extend_from_slice(&one);
        ends.push(bytes.len());
    }
    (bytes, ends)
}

fn scanned(bytes: &[u8]) -> Option<Scan> {
    let header = SegmentHeader::decode(bytes.first_chunk()?).ok()?;
    let read = |out: &mut [u8], at: u64| {
        out.copy_from_slice(&bytes[at as usize..at as usize + out.len()]);
        Ok::<(), Infallible>(())
    };
    scan(header, bytes.len() as u64, read).ok()
}

fn claim(end: u64) -> HeadRead {
    let head = Head { serial: 4, begin: 0, end, active: 0 };
    let read = HeadRead::of(&head::file_of(head, block::log_id(LOG)), block::log_id(LOG));
    assert_eq!(read, HeadRead { head: Some(head), spoiled: false });
    read
}

#[test]
fn a_write_torn_anywhere_is_cut_and_an_acknowledged_one_never() {
    let (whole, ends) = written(4);
    for cut in ends[3]..ends[4] {
        for behind in [0, 0xaa] {
            let mut torn = whole[..cut].to_vec();
            torn.resize(ends[4] + 64, behind);
            let found = scanned(&torn).unwrap();
            assert!(found.end >= 3, "cut at {cut}: {found:?}");
            if found.end == 3 {
                let tail = judge(&found, 0, &claim(3)).unwrap();
                let nothing = behind == 0 && torn[ends[3]..].iter().all(|byte| *byte == 0);
                let byte = ends[3] as u64;
                assert!(
                    nothing || matches!(&tail, Tail::Torn { byte: at, .. } if *at == byte),
                    "cut at {cut}: {tail:?}"
                );
                judge(&found, 0, &claim(4)).expect_err("the fourth was acknowledged");
            }
        }
    }
}

#[test]
fn a_hole_in_a_block_is_never_taken_for_its_bytes() {
    let (whole, ends) = written(3);
    for sector in (ends[2]..ends[3]).step_by(32) {
        let mut torn = whole.clone();
        let end = (sector + 32).min(ends[3]);
        torn[sector..end].fill(0);
        let found = scanned(&torn).unwrap();
        assert!(found.end == 2 || torn == whole, "hole at {sector}");
        assert!(judge(&found, 0, &claim(2)).is_ok());
    }
}

#[test]
fn a_flipped_bit_is_found_by_a_start_and_no_reader_shows_it() {
    let (whole, ends) = written(3);
    let id = block::log_id(LOG);
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let found = scanned(&bytes);
        let opens = found.is_some_and(|found| judge(&found, 0, &claim(3)).is_ok());
        assert!(!opens, "bit {bit} passes a start");
        for (base, pair) in ends.windows(2).enumerate() {
            match block::next(&bytes[pair[0]..pair[1]], id, base as u64) {
                Ok(Next::Block { payload, .. }) => {
                    let there = pair[0] + HEADER;
                    assert!(payload == &whole[there..there + payload.len()], "bit {bit} is shown to a reader");
                }
                Ok(Next::Needs(_)) => panic!("bit {bit} makes a block longer"),
                Err(_) => assert!((pair[0]..pair[1]).contains(&(bit / 8)), "bit {bit} spoils another block"),
            }
        }
    }
}

#[test]
fn a_damaged_claim_falls_back_to_the_one_before() {
    let id = block::log_id(LOG);
    let mut bytes = head::file_of(Head { serial: 9, begin: 0, end: 9, active: 0 }, id);
    bytes[head::slot_of(9) + 33] ^= 4;
    let read = HeadRead::of(&bytes, id);
    assert!(read.spoiled && read.head.is_some_and(|head| head.serial == 8));
    bytes[head::slot_of(8) + 1] ^= 4;
    assert_eq!(HeadRead::of(&bytes, id), HeadRead::MISSING);
}
