// Etcdctl is the client of etcd, built from its public module, for benchmarks.
package main

import "go.etcd.io/etcd/etcdctl/v3/ctlv3"

func main() { ctlv3.MustStart() }
