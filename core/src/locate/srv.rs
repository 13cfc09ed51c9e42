//! The order in which the servers of a service are tried (RFC 2782).

use alloc::vec::Vec;

use crate::action::SrvRecord;
use crate::entropy::Entropy;

/// RFC 2782 draws from 0 to the sum of the weights inclusive, which with small weights gives the first record far
/// more than its share. Scaling all weights alike leaves their ratio and makes that error small.
const SCALE: u64 = 100;

/// The records that name a server by priority, and within one priority drawn by weight.
pub(super) fn order(records: &[SrvRecord], entropy: &mut Entropy) -> Vec<SrvRecord> {
    let mut rest: Vec<&SrvRecord> = records.iter().filter(|record| is_server(record)).collect();
    // Those of weight 0 stand first in their priority, so that they are drawn with a very small chance only.
    rest.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut ordered = Vec::with_capacity(rest.len());
    while let Some(priority) = rest.first().map(|record| record.priority) {
        let group = || rest.iter().take_while(|record| record.priority == priority);
        let scaled = |record: &SrvRecord| u64::from(record.weight) * SCALE;
        let total: u64 = group().map(|record| scaled(record)).sum();
        let drawn = entropy.below(total + 1);
        let mut running = 0;
        let chosen = group().position(|record| {
            running += scaled(record);
            running >= drawn
        });
        ordered.push(rest.remove(chosen.unwrap_or(0)).clone());
    }
    ordered
}

/// Whether the answer says that the domain has decidedly no such service: one record whose target is the root.
pub(super) fn is_refusal(records: &[SrvRecord]) -> bool {
    matches!(records, [only] if is_root(&only.target))
}

/// Nothing can be connected to at port 0, and the root has no servers.
pub(super) fn is_server(record: &SrvRecord) -> bool {
    record.port != 0 && !is_root(&record.target)
}

fn is_root(name: &str) -> bool {
    name.is_empty() || name == "."
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn record(priority: u16, weight: u16, target: &str) -> SrvRecord {
        SrvRecord {
            priority,
            weight,
            port: 5060,
            target: target.to_string(),
        }
    }

    fn targets(records: &[SrvRecord]) -> Vec<&str> {
        records.iter().map(|record| record.target.as_str()).collect()
    }

    // rules: R18
    #[test]
    fn a_lower_priority_always_goes_first() {
        let mut entropy = Entropy::new([3; 32]);
        let records = [record(20, 9, "c"), record(10, 0, "a"), record(15, 65535, "b")];
        for _ in 0..100 {
            assert_eq!(targets(&order(&records, &mut entropy)), ["a", "b", "c"]);
        }
    }

    // rules: R18
    #[test]
    fn within_a_priority_the_first_is_drawn_in_proportion_to_the_weights() {
        let mut entropy = Entropy::new([4; 32]);
        let records = [record(1, 1, "a"), record(1, 3, "b"), record(2, 1, "later")];
        let first_is_a = (0..8000)
            .filter(|_| targets(&order(&records, &mut entropy))[0] == "a")
            .count();
        // One in four: 2000 expected, standard deviation 39.
        assert!((1800..2200).contains(&first_is_a), "{first_is_a}");
    }

    // rules: R18
    #[test]
    fn every_order_within_a_priority_is_as_often_as_rfc_2782_makes_it() {
        // The first is drawn by its share of all weights, the second by its share of those that are left.
        let mut entropy = Entropy::new([8; 32]);
        let weights = [10_u16, 30, 60];
        let records: Vec<SrvRecord> = weights.map(|weight| record(1, weight, "x")).to_vec();
        const DRAWS: u32 = 60_000;
        let mut counts = alloc::collections::BTreeMap::new();
        for _ in 0..DRAWS {
            let order: Vec<u16> = order(&records, &mut entropy)
                .iter()
                .map(|record| record.weight)
                .collect();
            *counts.entry(order).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 6);
        for (order, count) in counts {
            let [first, second] = [order[0], order[1]].map(f64::from);
            let share = first / 100.0 * second / (100.0 - first);
            let expected = f64::from(DRAWS) * share;
            let deviation = (expected * (1.0 - share)).sqrt();
            assert!(
                (f64::from(count) - expected).abs() < 5.0 * deviation,
                "{order:?}: {count}, expected {expected}"
            );
        }
    }

    // rules: R18
    #[test]
    fn a_weight_of_zero_is_seldom_first_beside_others_and_every_record_comes_once() {
        let mut entropy = Entropy::new([5; 32]);
        let records = [record(1, 10, "b"), record(1, 0, "zero"), record(1, 10, "a")];
        let mut zero_first = 0;
        for _ in 0..4000 {
            let ordered = order(&records, &mut entropy);
            let mut sorted = targets(&ordered);
            zero_first += usize::from(sorted[0] == "zero");
            sorted.sort_unstable();
            assert_eq!(sorted, ["a", "b", "zero"]);
        }
        assert!(zero_first < 40, "{zero_first}");
    }

    #[test]
    fn two_of_weight_zero_both_come() {
        let mut entropy = Entropy::new([6; 32]);
        assert_eq!(
            order(&[record(1, 0, "a"), record(1, 0, "b")], &mut entropy).len(),
            2
        );
    }

    // rules: R18
    #[test]
    fn port_0_and_the_root_beside_others_are_no_servers() {
        let mut entropy = Entropy::new([6; 32]);
        let nowhere = SrvRecord {
            port: 0,
            ..record(1, 1, "nowhere")
        };
        let records = [nowhere, record(2, 1, "."), record(3, 1, ""), record(4, 1, "a")];
        assert_eq!(targets(&order(&records, &mut entropy)), ["a"]);
        assert_eq!(order(&records[..3], &mut entropy), []);
    }

    #[test]
    fn the_root_as_only_target_refuses_the_service() {
        assert!(is_refusal(&[record(0, 0, ".")]));
        assert!(!is_refusal(&[record(0, 0, "a")]));
        assert!(!is_refusal(&[]));
    }
}
