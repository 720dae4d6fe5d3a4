package pool

// Pause calls stop at a moment at which no goroutine of this process has the ledger
// lock: for a stop that is to keep its process from nothing that others wait for. A
// place in line is kept.
func (p *Pool) Pause(stop func()) {
	p.turnstile <- struct{}{}
	defer func() { <-p.turnstile }()
	stop()
}
