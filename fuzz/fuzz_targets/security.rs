#![no_main]

sansip_fuzz::target!("security");
