package demo;

import java.net.HttpURLConnection;
import java.net.URI;
import java.util.List;
import java.util.function.BooleanSupplier;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.cloud.client.ServiceInstance;
import org.springframework.cloud.client.discovery.DiscoveryClient;
import org.springframework.cloud.client.serviceregistry.Registration;
import org.springframework.cloud.netflix.eureka.serviceregistry.EurekaRegistration;
import org.springframework.cloud.netflix.eureka.serviceregistry.EurekaServiceRegistry;
import org.springframework.context.ConfigurableApplicationContext;

/** Two Spring Boot applications that find each other. */
@SpringBootApplication
public class Demo {
    static ConfigurableApplicationContext start(String name, String url) {
        return new SpringApplicationBuilder(Demo.class).run(
                "--spring.application.name=" + name, "--server.port=0", "--server.address=127.0.0.1",
                "--spring.main.banner-mode=off", "--spring.jmx.enabled=false",
                "--eureka.client.service-url.defaultZone=" + url + "/",
                "--eureka.client.registry-fetch-interval-seconds=1",
                "--eureka.client.initial-instance-info-replication-interval-seconds=0",
                "--eureka.client.instance-info-replication-interval-seconds=1",
                "--eureka.client.filter-only-up-instances=false",
                "--eureka.instance.lease-renewal-interval-in-seconds=1",
                "--eureka.instance.lease-expiration-duration-in-seconds=3",
                "--eureka.instance.prefer-ip-address=true", "--eureka.instance.ip-address=127.0.0.1",
                "--eureka.instance.metadata-map.zone=z1", "--eureka.instance.metadata-map.owner_team=a&b");
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
        ConfigurableApplicationContext first = start("spring-orders", arguments[0]);
        ConfigurableApplicationContext second = start("spring-stock", arguments[0]);
        DiscoveryClient discovery = first.getBean(DiscoveryClient.class);
        await("services", () -> discovery.getServices().containsAll(List.of("spring-orders", "spring-stock")));
        await("instances", () -> discovery.getInstances("spring-stock").size() == 1);
        ServiceInstance stock = discovery.getInstances("spring-stock").get(0);
        await("metadata", () -> "z1".equals(stock.getMetadata().get("zone"))
                && "a&b".equals(stock.getMetadata().get("owner_team")));
        HttpURLConnection connection = (HttpURLConnection) URI.create(stock.getUri() + "/nothing").toURL().openConnection();
        int code = connection.getResponseCode();
        await("the address that was found answers", () -> code == 404);
        EurekaServiceRegistry registry = second.getBean(EurekaServiceRegistry.class);
        EurekaRegistration registration = (EurekaRegistration) second.getBean(Registration.class);
        registry.setStatus(registration, "OUT_OF_SERVICE");
        await("is out of service by its own word", () -> registry.getStatus(registration).toString().contains("OUT_OF_SERVICE"));
        registry.setStatus(registration, "UP");
        await("is up again", () -> registry.getStatus(registration).toString().contains("status=UP")
                || registry.getStatus(registration).toString().contains("UP"));
        second.close();
        await("deregisters when it stops", () -> discovery.getInstances("spring-stock").isEmpty());
        first.close();
        System.exit(0);
    }
}
