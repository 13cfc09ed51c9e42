//! Many endpoints for a long time: a fleet that loses its server, and days with a fault every hour.

use sansip_testkit::soak::fleet::{self, Fleet};
use sansip_testkit::soak::year::{self, Years};

// rules: R4, R6, R7, E12, X1, X3, X6
#[test]
fn a_fleet_that_loses_its_server_comes_back_spread_over_time_and_all_of_it() {
    let fleet = Fleet {
        endpoints: 2000,
        seed: 1,
    };
    match fleet::run(fleet) {
        Ok(regained) => println!("{regained}"),
        Err(unfit) => panic!("{unfit}"),
    }
}

// rules: R6, R7, R9, R10, C35, X1, X2, X3, X6
#[test]
fn endpoints_live_for_a_day_with_a_fault_every_hour() {
    let years = Years {
        hours: 24,
        endpoints: 10,
        seed: 3,
    };
    match year::run(years, |_, _, _| ()) {
        Ok(tally) => {
            let missing = year::missing(&tally, years);
            assert!(missing.is_empty(), "{missing:?}");
            assert_eq!(tally.recoveries.count(), tally.outages, "outages that ended");
        }
        Err(finding) => panic!("{finding}"),
    }
}
