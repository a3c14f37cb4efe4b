// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package endure

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
)

// A guest is a program that is paused and resumed many times.
type guest struct {
	name string
	// soak says that it needs an image that only make soak makes.
	soak      bool
	container func(*testing.T, *lab.Net) harness.Container
	// proof returns what only the process that was started first knows.
	proof func(*testing.T, *harness.Task, *lab.Net) string
}

const (
	// nodeProgram and javaProgram do what guest/ does.
	nodeProgram = `const nonce = require("crypto").randomUUID();
require("http").createServer((q, r) => r.end(nonce)).listen(8080);`
	javaProgram = `import com.sun.net.httpserver.HttpServer;
public class Guest {
	public static void main(String[] args) throws Exception {
		byte[] nonce = java.util.UUID.randomUUID().toString().getBytes();
		HttpServer server = HttpServer.create(new java.net.InetSocketAddress(8080), 0);
		server.createContext("/", e -> { e.sendResponseHeaders(200, nonce.length); e.getResponseBody().write(nonce); e.close(); });
		server.start();
	}
}`
	pythonProgram = `import http.server, uuid
nonce = str(uuid.uuid4()).encode()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(nonce)))
        self.end_headers()
        self.wfile.write(nonce)
    def log_message(self, *args):
        pass
http.server.HTTPServer(("", 8080), Handler).serve_forever()`
	postgresBin = "/usr/lib/postgresql/15/bin"
	// postgresScript runs a server whose files are in a DurableDir.
	postgresScript = `set -e
chown nobody /data
run="setpriv --reuid=nobody --regid=nogroup --clear-groups"
$run "$BIN/initdb" -U postgres -D /data/db >/dev/null
exec $run "$BIN/postgres" -D /data/db -k /tmp -c "listen_addresses=*" -c port=8080`
	// postgresQuery tells when the server was started, to the microsecond, and a
	// number of rows that each call makes one more.
	postgresQuery = `create table if not exists t (n int); insert into t values (1); select pg_postmaster_start_time()`
)

// httpGuest is a guest that tells its proof on port 8080.
func httpGuest(name string, soak bool, image images.Image, args ...string) guest {
	return guest{name, soak, func(_ *testing.T, network *lab.Net) harness.Container {
		return harness.Container{Image: image, Args: args, Network: network, Annotations: readyAt("httpGet")}
	}, tell}
}

// readyAt are the annotations of a guest that is ready when port 8080 is.
func readyAt(kind string) map[string]string {
	return map[string]string{"ateom.dev/readiness": fmt.Sprintf(`[{%q:{"port":8080},"periodSeconds":1,"failureThreshold":60}]`, kind)}
}

// tell asks a guest for its proof.
func tell(t *testing.T, task *harness.Task, network *lab.Net) string {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	var said string
	harness.Eventually(t, func() error {
		r, err := client.Get("http://" + net.JoinHostPort(network.IP.String(), "8080") + "/")
		if err != nil {
			return fmt.Errorf("%w; it has written: %s", err, task.Log(t))
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		said = string(b)
		return err
	})
	return said
}

var guests = []guest{
	{"go", false, func(t *testing.T, network *lab.Net) harness.Container {
		return harness.GuestContainer(t, "github.com/ateom/ateom/e2e/endure/guest", network, readyAt("httpGet"))
	}, tell},
	httpGuest("python", false, images.Debian, "python3", "-c", pythonProgram),
	{"redis", false, func(_ *testing.T, network *lab.Net) harness.Container {
		return harness.Container{
			Image: images.Debian, Network: network, Annotations: readyAt("tcpSocket"),
			Args: []string{"redis-server", "--bind", "0.0.0.0", "--port", "8080", "--protected-mode", "no", "--save", ""},
		}
	}, func(t *testing.T, task *harness.Task, _ *lab.Net) string {
		info := task.Node.Ctr(t, "task", "exec", "--exec-id", harness.NewID(t), task.ID, "redis-cli", "-p", "8080", "info", "server")
		_, id, _ := strings.Cut(info, "run_id:")
		id, _, _ = strings.Cut(id, "\n")
		return id
	}},
	httpGuest("node", true, images.Programs, "node", "-e", nodeProgram),
	httpGuest("jvm", true, images.Programs, "sh", "-c", "cat >/tmp/Guest.java <<'E'\n"+javaProgram+"\nE\nexec java /tmp/Guest.java"),
	{"postgresql", true, func(_ *testing.T, network *lab.Net) harness.Container {
		annotations := readyAt("tcpSocket")
		annotations["ateom.dev/durable-dirs"] = `[{"name":"data","mountPath":"/data"}]`
		return harness.Container{
			Image: images.Programs, Network: network, Annotations: annotations, Args: []string{"env", "BIN=" + postgresBin, "sh", "-c", postgresScript},
		}
	}, func(t *testing.T, task *harness.Task, _ *lab.Net) string {
		var said string
		harness.Eventually(t, func() error { // a task that is new is not waited for
			r := task.Node.Do(t, harness.Command{Program: "ctr", Args: []string{"task", "exec", "--exec-id", harness.NewID(t), task.ID,
				postgresBin + "/psql", "-h", "/tmp", "-p", "8080", "-U", "postgres", "-qAt", "-c", postgresQuery}})
			if r.Code != 0 {
				return fmt.Errorf("psql: exit code %d, %s", r.Code, r.Stderr)
			}
			said = harness.LastLine(r.Stdout)
			return nil
		})
		return said
	}},
}

// TestManyCyclesLeaveNothingBehind pauses and resumes real programs again and
// again. Each goes on as the process that it was, and the node holds after the
// last cycle what it held after the first.
func TestManyCyclesLeaveNothingBehind(t *testing.T) {
	cycles := number(t, cyclesEnv, 4)
	soak := os.Getenv(cyclesEnv) != ""
	for _, g := range guests {
		if g.soak && !soak {
			continue
		}
		t.Run(g.name, func(t *testing.T) {
			n := harness.NewNode(t, harness.Config{})
			network := harness.NewNetwork(t)
			task := n.Run(t, g.container(t, network))
			want := g.proof(t, task, network)
			if want == "" {
				t.Fatal("the guest proves nothing")
			}
			var first holdings
			began := time.Now()
			for i := range cycles {
				n.Ateom(t, "tasks", "pause", task.ID)
				n.Ateom(t, "tasks", "resume", task.ID)
				if got := g.proof(t, task, network); got != want {
					t.Fatalf("cycle %d: the guest says %q, said %q: it is not the process that it was", i+1, got, want)
				}
				if i == 0 {
					first = hold(t, task, holdings{})
				}
			}
			t.Logf("%d cycles, %s each", cycles, (time.Since(began) / time.Duration(cycles)).Round(time.Millisecond))
			if last := hold(t, task, first); last.over(first) {
				t.Errorf("after one cycle there were %+v, after %d there are %+v", first, cycles, last)
			}
		})
	}
}

// holdings are what a node has of each kind while its one sandbox runs.
type holdings struct {
	processes, mounts, cgroups, interfaces, sockets, files int
	// shimFiles are the open files of the shim; nodeFiles what lies in the node's
	// directories of ateom.
	shimFiles, nodeFiles int
}

// slack is by how much processes and open files of the shim may differ: gVisor has
// more or fewer processes of its own for the same program, and Go closes the handle of
// a process that the shim's reaper has waited for when it next collects. What every
// cycle left would be three after four cycles.
const slack = 2

// over says whether there is more of anything than there was.
func (h holdings) over(was holdings) bool {
	return h.processes > was.processes+slack || h.mounts > was.mounts || h.cgroups > was.cgroups || h.interfaces > was.interfaces ||
		h.sockets > was.sockets || h.files > was.files || h.shimFiles > was.shimFiles+slack || h.nodeFiles > was.nodeFiles
}

// hold counts until there is no more than there was, or nothing changes if that
// is not known, or some time has passed: the ends of processes, and the loading
// behind a resume, are not instantaneous.
func hold(t *testing.T, task *harness.Task, was holdings) holdings {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var last holdings
	for {
		now := count(t, task)
		if !now.over(was) || was == (holdings{}) && now == last || ctx.Err() != nil {
			return now
		}
		last = now
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func count(t *testing.T, task *harness.Task) holdings {
	t.Helper()
	kinds := harness.Count(t)
	h := holdings{
		processes: kinds["process"], mounts: kinds["mount"], cgroups: kinds["cgroup"],
		interfaces: kinds["interface"], sockets: kinds["socket"], files: kinds["file"],
	}
	for _, pid := range harness.Find(t, func(args string) bool { return strings.Contains(args, "containerd-shim-ateom-v1") }) {
		if task.Node.Owns(pid) {
			open, err := os.ReadDir(filepath.Join("/proc", fmt.Sprint(pid), "fd"))
			if err != nil {
				t.Fatal(err)
			}
			h.shimFiles += len(open)
		}
	}
	for _, dir := range []string{task.Node.Config.StateDir, task.Node.Config.RunDir} {
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			// A side-car that is ended in mid-write leaves this to the next, which writes over it.
			if !strings.HasSuffix(path, "-status.json.tmp") {
				h.nodeFiles++
			}
			return ignoreGone(err)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// ignoreGone lets a walk go on past what was removed meanwhile.
func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}
