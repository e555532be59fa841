package demo;

import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.cloud.client.ServiceInstance;
import org.springframework.cloud.client.discovery.DiscoveryClient;
import org.springframework.cloud.client.discovery.event.HeartbeatEvent;
import org.springframework.cloud.client.serviceregistry.Registration;
import org.springframework.cloud.consul.serviceregistry.ConsulRegistration;
import org.springframework.cloud.consul.serviceregistry.ConsulServiceRegistry;
import org.springframework.context.ApplicationListener;
import org.springframework.context.ConfigurableApplicationContext;

/** Two Spring Boot applications that find each other, and take their settings from keys. */
@SpringBootApplication
public class Demo {
    static final HttpClient HTTP = HttpClient.newHttpClient();

    static void put(String url, String path, String body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url + path))
                .PUT(HttpRequest.BodyPublishers.ofString(body)).build();
        HttpResponse<String> answer = HTTP.send(request, HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200) {
            throw new IllegalStateException(path + ": " + answer.statusCode() + " " + answer.body());
        }
    }

    static ConfigurableApplicationContext start(String name, URI url) {
        String consul = url.getHost() + ":" + url.getPort();
        return new SpringApplicationBuilder(Demo.class).run(
                "--spring.application.name=" + name, "--server.port=0", "--server.address=127.0.0.1",
                "--spring.main.banner-mode=off", "--spring.jmx.enabled=false",
                "--spring.config.import=consul:" + consul,
                "--spring.cloud.consul.host=" + url.getHost(), "--spring.cloud.consul.port=" + url.getPort(),
                "--spring.cloud.consul.config.format=key-value", "--spring.cloud.consul.config.watch.delay=100",
                "--spring.cloud.consul.config.watch.wait-time=2",
                "--spring.cloud.consul.discovery.prefer-ip-address=true",
                "--spring.cloud.consul.discovery.ip-address=127.0.0.1",
                "--spring.cloud.consul.discovery.heartbeat.enabled=true",
                "--spring.cloud.consul.discovery.heartbeat.ttl=3s",
                "--spring.cloud.consul.discovery.health-check-critical-timeout=1m",
                "--spring.cloud.consul.discovery.query-passing=true",
                "--spring.cloud.consul.discovery.catalog-services-watch-delay=100",
                "--spring.cloud.consul.discovery.catalog-services-watch-timeout=2",
                "--spring.cloud.consul.discovery.tags=blue,zone=z1",
                "--spring.cloud.consul.discovery.metadata.owner=a&b");
    }

    static void await(String name, BooleanSupplier condition) throws Exception {
        long end = System.nanoTime() + 30_000_000_000L;
        while (!condition.getAsBoolean() && System.nanoTime() < end) {
            Thread.sleep(50);
        }
        if (!condition.getAsBoolean()) {
            System.out.println("not ok " + name);
            System.exit(1);
        }
        System.out.println("ok " + name);
    }

    public static void main(String[] arguments) throws Exception {
        URI url = URI.create(arguments[0]);
        put(arguments[0], "/v1/kv/config/spring-orders/shop/motto", "ports of call");
        put(arguments[0], "/v1/kv/config/application/shop/currency", "EUR");
        ConfigurableApplicationContext first = start("spring-orders", url);
        AtomicInteger heartbeats = new AtomicInteger();
        first.addApplicationListener((ApplicationListener<HeartbeatEvent>) event -> heartbeats.incrementAndGet());
        await("settings from keys", () -> "ports of call".equals(first.getEnvironment().getProperty("shop.motto"))
                && "EUR".equals(first.getEnvironment().getProperty("shop.currency")));
        ConfigurableApplicationContext second = start("spring-stock", url);
        DiscoveryClient discovery = first.getBean(DiscoveryClient.class);
        await("services", () -> discovery.getServices().containsAll(List.of("spring-orders", "spring-stock")));
        await("instances", () -> discovery.getInstances("spring-stock").size() == 1);
        await("the watch of the catalog tells of changes", () -> heartbeats.get() > 0);
        ServiceInstance stock = discovery.getInstances("spring-stock").get(0);
        await("metadata", () -> "a&b".equals(stock.getMetadata().get("owner")));
        HttpURLConnection connection = (HttpURLConnection) URI.create(stock.getUri() + "/nothing").toURL().openConnection();
        int code = connection.getResponseCode();
        await("the address that was found answers", () -> code == 404);
        put(arguments[0], "/v1/kv/config/spring-orders/shop/motto", "all hands");
        await("a changed key is taken over", () -> "all hands".equals(first.getEnvironment().getProperty("shop.motto")));
        ConsulServiceRegistry registry = second.getBean(ConsulServiceRegistry.class);
        ConsulRegistration registration = (ConsulRegistration) second.getBean(Registration.class);
        registry.setStatus(registration, "OUT_OF_SERVICE");
        await("nobody is sent to an application in maintenance", () -> discovery.getInstances("spring-stock").isEmpty());
        registry.setStatus(registration, "UP");
        await("is up again", () -> discovery.getInstances("spring-stock").size() == 1);
        second.close();
        await("deregisters when it stops", () -> discovery.getInstances("spring-stock").isEmpty());
        first.close();
        System.exit(0);
    }
}
