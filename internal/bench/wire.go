package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
)

// wire sends requests as a load generator should: from the goroutine that asks, over connections kept open. The client of
// net/http hands each request to two goroutines of the connection, which on two cores takes from the measured side what pgbench,
// which makes the floor, leaves to it.
type wire struct {
	mu   sync.Mutex
	idle map[string][]*wireConn // guarded by mu; by address
}

type wireConn struct {
	net.Conn
	in  *bufio.Reader
	out *bufio.Writer
}

// take gives a connection that is not in use, the one used last, or a new one.
func (w *wire) take(addr string) (c *wireConn, used bool, err error) {
	w.mu.Lock()
	if list := w.idle[addr]; len(list) > 0 {
		c = list[len(list)-1]
		w.idle[addr] = list[:len(list)-1]
		w.mu.Unlock()
		return c, true, nil
	}
	w.mu.Unlock()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, false, err
	}
	return &wireConn{Conn: conn, in: bufio.NewReader(conn), out: bufio.NewWriter(conn)}, false, nil
}

func (w *wire) give(addr string, c *wireConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.idle == nil {
		w.idle = map[string][]*wireConn{}
	}
	w.idle[addr] = append(w.idle[addr], c)
}

// do sends a request and reads the whole answer. A connection that the node closed meanwhile, since it was started anew, is
// replaced by another one.
func (w *wire) do(request *http.Request) (status int, body []byte, err error) {
	for {
		c, used, err := w.take(request.URL.Host)
		if err != nil {
			return 0, nil, err
		}
		closed := c.send(request)
		if closed == nil {
			response, err := http.ReadResponse(c.in, request)
			if err != nil {
				_ = c.Close()
				return 0, nil, err
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || response.Close {
				_ = c.Close()
			} else {
				w.give(request.URL.Host, c)
			}
			return response.StatusCode, body, err
		}
		_ = c.Close()
		if !used {
			return 0, nil, closed
		}
		if request.GetBody != nil {
			if request.Body, err = request.GetBody(); err != nil {
				return 0, nil, err
			}
		}
	}
}

// send sends a request and waits for the first byte of an answer.
func (c *wireConn) send(request *http.Request) error {
	if err := request.Write(c.out); err != nil {
		return err
	}
	if err := c.out.Flush(); err != nil {
		return err
	}
	_, err := c.in.Peek(1)
	return err
}
