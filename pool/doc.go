// Package pool limits how many processes of one machine do something at once.
//
// A pool has a fixed number of slots. Whoever wants to do the thing acquires a
// lease, waits in line if all slots are taken, and releases the lease when done.
// The limit belongs to the pool, not to its users; the order is first come,
// first served; and a slot whose holder has died is free again, whatever the
// holder died of. There is no daemon: a pool is two objects in /dev/shm.
//
// One is a POSIX named semaphore, the gate, whose value is the number of free
// slots; C programs may wait for it and post it like any other (package gate).
// The other is the ledger, which tells who holds slots and who waits. Locks on
// the ledger's file, which the kernel gives back when their owner dies, are the
// truth; the ledger is what can be rebuilt from them. docs/design.md explains
// the mechanism, in the words that the code uses.
//
// A lease belongs to the process that acquired it. If that process starts a
// command on its behalf, Lease.Guard makes the slot stay taken for as long as
// the command lives, even if the process itself is killed.
package pool
