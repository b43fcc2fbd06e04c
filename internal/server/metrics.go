package server

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/vestibule-id/vestibule/internal/page"
)

// metrics is what Prometheus reads. No label holds what a stranger or an organization can make many of.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	scim     *prometheus.CounterVec

	answered seen[answered, answeredBy]
	asked    seen[asked, prometheus.Counter]
}

// answered and asked are the labels of a request's counters, which the request names by the same few values as thousands before.
type (
	answered struct {
		face, method string
		status       int
	}
	answeredBy struct {
		requests prometheus.Counter
		duration prometheus.Observer
	}
	asked struct {
		resource, operation, dialect string
		status                       int
	}
)

// seen remembers where labels led to: a vector hashes them and compares them one by one each time. Like the vectors it holds no more
// than there are labels.
type seen[K comparable, M any] struct {
	mu sync.RWMutex
	of map[K]M // guarded by mu
}

func (s *seen[K, M]) get(k K, find func() M) M {
	s.mu.RLock()
	m, ok := s.of[k]
	s.mu.RUnlock()
	if ok {
		return m
	}
	m = find()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[K]M{}
	}
	s.of[k] = m
	return m
}

func newMetrics(v Version, reports *page.Reports) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vestibule_http_requests_total", Help: "Requests answered, by face, method and status.",
		}, []string{"face", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "vestibule_http_request_duration_seconds", Help: "How long requests took, by face.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"face"}),
	}
	m.scim = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "vestibule_scim_requests_total", Help: "Requests of directories, by resource, operation, dialect and status.",
	}, []string{"resource", "operation", "dialect", "status"})
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "vestibule_build_info", Help: "Always 1; which program this is stands in the labels.",
		ConstLabels: prometheus.Labels{"version": v.Version, "commit": v.Commit, "go": v.Go},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.duration, m.scim, build,
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "vestibule_csp_reports_total", Help: "Reports of browsers that a page broke its own content policy.",
		}, func() float64 { return float64(reports.Count()) }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *metrics) observe(face, method string, status int, took time.Duration) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		method = "other"
	}
	by := m.answered.get(answered{face, method, status}, func() answeredBy {
		return answeredBy{m.requests.WithLabelValues(face, method, strconv.Itoa(status)), m.duration.WithLabelValues(face)}
	})
	by.requests.Inc()
	by.duration.Observe(took.Seconds())
}

// pushed counts a request of a directory.
func (m *metrics) pushed(resource, operation, dialect string, status int) {
	m.asked.get(asked{resource, operation, dialect, status}, func() prometheus.Counter {
		return m.scim.WithLabelValues(resource, operation, dialect, strconv.Itoa(status))
	}).Inc()
}

// watchLog counts the requests of directories that their log lost.
func (m *metrics) watchLog(lost func() uint64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "vestibule_scim_log_lost_total", Help: "Requests of directories that were served and could not be kept in the request log.",
	}, func() float64 { return float64(lost()) }))
}
