package tests

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// A job has a GPU of its own, and all GPUs are used at once.
func TestTheGPUExampleGivesEachJobADevice(t *testing.T) {
	onlyOnce(t)
	name, dir := freeName(t), t.TempDir()
	gpus := []string{"0", "2", "5"}
	all := overlapDir(filepath.Join(dir, "all"))
	for _, gpu := range gpus {
		overlapDir(filepath.Join(dir, gpu))
	}
	worker := filepath.Join(dir, "worker")
	writeScript(t, worker, fmt.Sprintf(`exec overlapping %s 3 overlapping "%s/$CUDA_VISIBLE_DEVICES" 1 true`, all, dir))
	cmd := command(t, example(t, "gpu/train.sh"), "12")
	cmd.Env = append(cmd.Env, "POOL="+name, "GPUS="+strings.Join(gpus, " "), "WORKER="+worker)
	wantResult(t, cmd, 0, "^$")
	wantSeen(t, "all jobs", all, 12, 3)
	for _, gpu := range gpus {
		if ran, most := mostSeen(filepath.Join(dir, gpu)); ran == 0 || most != 1 {
			t.Errorf("GPU %s had %d jobs, at most %d at once", gpu, ran, most)
		}
	}
	wantEmpty(t, name)
}
