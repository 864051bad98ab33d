//! Benchmark of a whole tick of the arena without system calls: commands of all clients received,
//! world simulated, a snapshot for each client encoded. Every client sees everything.

#![allow(missing_docs, reason = "criterion's macros define functions")]

use criterion::{Criterion, criterion_group, criterion_main};
use truetick_benches::FullRoom;

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tick");
    group.sample_size(30);
    for (clients, drones) in [(64, 64), (256, 0)] {
        let mut room = FullRoom::new(clients, drones, None);
        assert_eq!(room.clients(), usize::from(clients));
        let bytes: u64 = (0..60).map(|_| room.tick()).sum();
        let each = bytes as f64 / 60.0 / f64::from(clients);
        println!("tick/{clients}_clients_{drones}_drones: {each:.0} bytes per client and tick");
        group.bench_function(format!("{clients}_clients_{drones}_drones"), |bencher| {
            bencher.iter(|| room.tick())
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
