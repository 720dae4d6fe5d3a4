// Package engine lets poolrun use pools that another program manages, an engine: pools that several
// machines share. The name of such a pool is a URL, and the engine of etcd:///licences is the program
// poolrun-etcd.
//
// docs/engine.md specifies the protocol between the two. Package engine has its messages, which engines
// use too, and poolrun's side of it.
//
// The invariant is that the slots of a lease belong to the engine, and not to this process: a process
// that has asked for slots can be killed at any moment, and the engine gives them back as soon as
// nothing runs in them any more; an engine that is killed is started again, and adopts the lease.
//
// Read the files in this order: message.go and kind.go have the messages, name.go the names.
// process_linux.go starts an engine, and conn.go speaks with it. pool.go manages a pool, and lease.go
// holds slots.
package engine
