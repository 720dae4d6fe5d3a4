// Poolrun-etcd is the part of poolrun that knows pools on etcd. poolrun starts it for each pool whose name
// begins with etcd:// or etcds://.
package main

import (
	"fmt"
	"os"

	"github.com/poolrun/poolrun/cluster/internal/agent"
	"golang.org/x/sys/unix"
)

// version is set by the linker.
var version = "unknown"

func main() {
	// poolrun passes a socket. A person does not.
	if kind, err := unix.GetsockoptInt(3, unix.SOL_SOCKET, unix.SO_DOMAIN); err != nil || kind != unix.AF_UNIX {
		if len(os.Args) == 2 && os.Args[1] == "--version" {
			fmt.Println("poolrun-etcd " + version)
			return
		}
		fmt.Fprintln(os.Stderr, "poolrun-etcd: this program is started by poolrun, for pools like etcd:///db: see poolrun-etcd(7)")
		os.Exit(2)
	}
	agent.Main(version)
}
