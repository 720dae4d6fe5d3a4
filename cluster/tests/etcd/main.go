// Etcd is the etcd server, built from its public module, for tests and demonstrations.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
