package server;

import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.cloud.netflix.eureka.server.EnableEurekaServer;

/** Netflix's server as Spring ships it, alone and on loopback. */
@SpringBootApplication
@EnableEurekaServer
public class Server {
    public static void main(String[] arguments) {
        new SpringApplicationBuilder(Server.class).run(arguments);
    }
}
