package pool

import "unsafe"

// ledgerSize is the size of the ledger's file.
const ledgerSize = int64(unsafe.Sizeof(ledger{}))
